//! `--version`.

use gm_protocol::plan::ENGINE_ID;
use serde_json::{Map, Value, json};

use crate::output::Output;

/// Version of the documents and host calls that plugins are given.
const API: &str = "2.0";
/// Binary interfaces of WASM modules.
const ABI: &str = "gm-2";
/// What does the mathematics of signatures.
const CRYPTO: &str = if cfg!(feature = "crypto-openssl") {
    "crypto-openssl"
} else {
    "crypto-rust"
};

/// Prints it and returns the exit code.
pub(super) fn print(name: &str, verbose: bool, output: &mut Output) -> u8 {
    let version = env!("CARGO_PKG_VERSION");
    output.line(&format!("{name} {version}"));
    let mut object = Map::new();
    object.insert("schema".into(), "gm.version/1".into());
    object.insert("name".into(), name.into());
    object.insert("version".into(), version.into());
    if verbose {
        let parts: [(&str, Value); 4] = [
            ("api", json!(API)),
            ("abi", json!([ABI])),
            ("engines", json!({ "wasm": ENGINE_ID })),
            ("crypto", json!(CRYPTO)),
        ];
        output.line(&format!("api {API}\nabi {ABI}\nwasm engine {ENGINE_ID}"));
        output.line(&format!("crypto backend {}", CRYPTO));
        object.extend(parts.map(|(key, value)| (key.to_owned(), value)));
    }
    object.insert("exit".into(), 0.into());
    output.record(&object);
    0
}
