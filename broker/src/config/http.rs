//! `[http]`: what holds of every request that plugins have made.

use std::net::SocketAddr;

use gm_manifest::{Bytes, Millis, Refusal};
use gm_policy::{HttpRules, Told};

use super::reader::{Item, Section};

/// The most redirects of one request that can be asked for.
const MOST_REDIRECTS: u32 = 20;

pub(super) fn read(section: &mut Section<'_>, to: &mut HttpRules) -> Result<(), Refusal> {
    section.read("timeout", &mut to.timeout, timeout)?;
    section.read("body", &mut to.body, body)?;
    section.read("redirects", &mut to.redirects, |item| {
        let line = item.at().line;
        Ok(Told::at(item.number(0, MOST_REDIRECTS)?, line))
    })?;
    section.read("allow_private", &mut to.allow_private, addresses)
}

/// As a call's own: 10 ms to 10 min.
fn timeout(item: Item<'_>) -> Result<Told<Millis>, Refusal> {
    let time = item.fit_told(Millis::parse)?;
    match (10..=600_000).contains(&time.value.get()) {
        true => Ok(time),
        false => Err(item.refuse("it must be 10ms to 10m")),
    }
}

/// A body crosses the link whole, as part of a result.
fn body(item: Item<'_>) -> Result<Told<Bytes>, Refusal> {
    let size = item.fit_told(Bytes::parse)?;
    match size.value <= Bytes::mb(16) {
        true => Ok(size),
        false => Err(item.refuse("it is at most 16mb")),
    }
}

fn addresses(item: Item<'_>) -> Result<Vec<SocketAddr>, Refusal> {
    let mut addresses = Vec::new();
    for item in item.items()? {
        let address = item.text()?.parse::<SocketAddr>();
        match address {
            Ok(address) if address.port() != 0 => addresses.push(address),
            Ok(_) | Err(_) => {
                return Err(item.refuse("it must be \"address:port\", such as \"127.0.0.1:8080\""));
            }
        }
    }
    Ok(addresses)
}
