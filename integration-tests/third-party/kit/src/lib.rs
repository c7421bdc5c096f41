//! A plugin made with Extism's kit for Rust, as its documentation says to: what
//! the kit imports and expects of its host is what is tested.

use extism_pdk::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Event {
    text: Option<String>,
    url: Option<String>,
}

#[derive(Serialize)]
struct Reply {
    vowels: usize,
    /// Of all calls so far.
    total: u64,
    greeting: Option<String>,
    body: Option<String>,
}

#[plugin_fn]
pub fn init(_: String) -> FnResult<()> {
    info!("ready");
    Ok(())
}

#[plugin_fn]
pub fn on_commit_analyzed(Json(event): Json<Event>) -> FnResult<Json<Reply>> {
    let text = event
        .text
        .ok_or_else(|| WithReturnCode::new(Error::msg("no text to count in"), 7))?;
    let vowels = text.chars().filter(|c| "aeiouAEIOU".contains(*c)).count();
    let total = var::get::<u64>("total")?.unwrap_or(0) + vowels as u64;
    var::set("total", total)?;
    let body = match event.url {
        Some(url) => {
            let request = HttpRequest::new(url).with_method("POST");
            let response = http::request::<&str>(&request, Some("asked"))?;
            let body = String::from_utf8_lossy(&response.body()).into_owned();
            Some(format!("{} {body}", response.status_code()))
        }
        None => None,
    };
    warn!("{vowels} vowels");
    Ok(Json(Reply {
        vowels,
        total,
        greeting: config::get("kit.greeting")?,
        body,
    }))
}

/// A command: any text in, any text out.
#[plugin_fn]
pub fn shout(text: String) -> FnResult<String> {
    Ok(text.to_uppercase())
}
