//! `gm gpg trust`: whom this home trusts, and for which ids.
//!
//! A key gets in only with the fingerprint that somebody typed.

use std::time::SystemTime;

use gm_manifest::{Kind, NamespacePattern, Refusal};
use mind_gpg::{RevocationTarget, TrustStore, TrustedKey};
use serde_json::{Value, json};

use super::{badly_typed, moment, read_keys, typed_fingerprint};
use crate::args::gm::TrustAddArgs;
use crate::args::{Invocation, usage};
use crate::control::{self, Stop};
use crate::output::Output;

pub(super) fn add(
    args: &TrustAddArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let fingerprint = typed_fingerprint(&args.fingerprint)?;
    let mut namespaces = Vec::new();
    for text in &args.namespaces {
        let pattern = NamespacePattern::parse(text)
            .map_err(|unfit| badly_typed("the namespace", text, unfit))?;
        namespaces.push(pattern);
    }
    let mut kinds = Vec::new();
    for text in &args.kinds {
        let kind = Kind::parse(text).map_err(|unfit| badly_typed("the kind", text, unfit))?;
        kinds.push(kind);
    }
    let store = store(invocation)?;
    let added = store.add_key(&read_keys(&args.file)?, &fingerprint, &namespaces)?;
    let changed = store.add_kinds(&fingerprint, &kinds)? || added;
    let names: Vec<_> = namespaces.iter().map(ToString::to_string).collect();
    let word = if changed {
        "trusted"
    } else {
        "trusted already"
    };
    output.line(&format!("{word}: {fingerprint} for {}", names.join(", ")));
    Ok(output.done(
        "gpg trust add",
        [
            ("fingerprint", json!(fingerprint)),
            ("namespaces", json!(names)),
            ("changed", json!(changed)),
        ],
    ))
}

pub(super) fn remove(
    typed: &str,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let fingerprint = typed_fingerprint(typed)?;
    let home = invocation.open_home_to_stop()?;
    if !TrustStore::open(home.trust()?.path())?.remove_key(&fingerprint)? {
        return Err(usage(format!("the key {fingerprint} is not trusted here")));
    }
    let stop = Stop::revoked(&RevocationTarget::Key(fingerprint.clone()));
    let ended = control::end_everywhere(&home, &stop)?;
    output.line(&format!("trusted no longer: {fingerprint}"));
    Ok(output.done(
        "gpg trust remove",
        [("fingerprint", json!(fingerprint)), ("ended", json!(ended))],
    ))
}

/// Every key with what it is good for. There are no roots and no blacklist: a key
/// is trusted by hand, and revoked by its owner or by hand.
pub(super) fn list(invocation: &Invocation, output: &mut Output) -> Result<u8, Refusal> {
    let keys = store(invocation)?.keys(SystemTime::now())?;
    for key in &keys {
        output.record(&record(key));
        output.line(&in_words(key));
    }
    match keys.len() {
        0 => output
            .note("no key is trusted: gm gpg trust add FILE --fingerprint FPR --namespace PATTERN"),
        _ => output.note("no blacklist"),
    }
    Ok(output.done(
        "gpg trust-list",
        [("keys", json!(keys.len())), ("blacklist", Value::Null)],
    ))
}

fn store(invocation: &Invocation) -> Result<TrustStore, Refusal> {
    let (home, _) = invocation.open_home()?;
    TrustStore::open(home.trust()?.path())
}

fn record(key: &TrustedKey) -> Value {
    let subkeys: Value = key
        .subkeys
        .iter()
        .map(|subkey| {
            json!({
                "fingerprint": subkey.fingerprint,
                "can_sign": subkey.can_sign,
                "expires": subkey.expires.map(moment),
                "state": subkey.state,
            })
        })
        .collect();
    json!({
        "schema": "gm.trust/1",
        "kind": "key",
        "fingerprint": key.fingerprint,
        "label": key.label,
        "origin": key.origin,
        "namespaces": key.namespaces,
        "kinds": key.kinds,
        "created": moment(key.created),
        "expires": key.expires.map(moment),
        "state": key.state,
        "subkeys": subkeys,
    })
}

/// The key and, below it, each of its subkeys.
fn in_words(key: &TrustedKey) -> String {
    let until = |expires: Option<SystemTime>| match expires {
        Some(time) => format!("until {}", moment(time)),
        None => "without expiry".to_owned(),
    };
    let names: Vec<_> = key.namespaces.iter().map(ToString::to_string).collect();
    let kinds: Vec<_> = key.kinds.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{}  {}  {}  {}\n  for {} ({})",
        key.fingerprint,
        key.state,
        until(key.expires),
        key.label,
        names.join(", "),
        kinds.join(", "),
    );
    for subkey in &key.subkeys {
        let use_of = if subkey.can_sign {
            "signs"
        } else {
            "does not sign"
        };
        let (state, until) = (subkey.state, until(subkey.expires));
        text.push_str(&format!(
            "\n  subkey {}  {state}  {use_of}  {until}",
            subkey.fingerprint
        ));
    }
    text
}
