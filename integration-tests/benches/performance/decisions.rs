//! P10 and P11: whether a plugin is vouched for, and whether its filters are
//! what the policy says. Neither starts anything.

use std::path::Path;
use std::time::{Instant, SystemTime};

use ed25519_dalek::{Signature, Signer, SigningKey};
use gm_broker::home;
use gm_broker::registry::Registry;
use gm_manifest::{Manifest, PluginId};
use gm_policy::{Operator, Plan};
use mind_gpg::TrustStore;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::plugins::{ASSET, ECHO, HEAVY, noise};
use crate::samples::{Row, Samples, Target, in_turns, micros};

const ROUNDS: usize = 50;
const LARGE_ROUNDS: usize = 11;

pub(crate) fn rows(home: &Path) -> Vec<Value> {
    let (home, _) = home::open(home).unwrap();
    let trust = TrustStore::open(home.trust().unwrap().path()).unwrap();
    let registry = Registry::open(&home).unwrap();
    let decided = |id: &str| {
        let id = PluginId::parse(id).unwrap();
        let begun = Instant::now();
        let signed = registry.entry(&id).unwrap().read(&trust).unwrap();
        let verified = trust.verify(signed, SystemTime::now()).unwrap();
        (micros(begun), verified)
    };
    vec![
        small(|| decided(ECHO).0),
        large(|| decided(HEAVY).0),
        proof(decided(ECHO).1.manifest()),
    ]
}

fn small(decided: impl Fn() -> f64) -> Value {
    let key = SigningKey::from_bytes(&[7; 32]);
    let statement = noise(512);
    let signature = key.sign(&statement);
    let measured = in_turns(
        ROUNDS,
        |samples| samples.add(bare_verification(&key, &statement, &signature)),
        |samples| samples.add(decided()),
    );
    let row = Row {
        id: "P10",
        what: "trust decision, from files to verdict".into(),
        unit: "µs",
        floor: "one bare Ed25519 verification",
        target: Target::Most(1000.0),
    };
    row.of(&measured)
}

fn bare_verification(key: &SigningKey, statement: &[u8], signature: &Signature) -> f64 {
    let begun = Instant::now();
    key.verify(statement, signature).unwrap();
    micros(begun)
}

fn large(decided: impl Fn() -> f64) -> Value {
    let bytes = noise(ASSET);
    let measured = in_turns(
        LARGE_ROUNDS,
        |samples| {
            let begun = Instant::now();
            let digest = Sha256::digest(&bytes);
            samples.add(micros(begun));
            assert_ne!(digest.as_slice(), [0; 32]);
        },
        |samples| samples.add(decided()),
    );
    let row = Row {
        id: "P10",
        what: "the same, 10 MB package".into(),
        unit: "µs",
        floor: "bare SHA-256 of 10 MB",
        target: Target::Ratio(1.4),
    };
    row.of(&measured)
}

/// The plan says itself how much of its time was proof; the rest of the same
/// derivation is the floor.
fn proof(manifest: &Manifest) -> Value {
    let operator = Operator::default();
    let mut measured = (Samples::default(), Samples::default());
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let plan = Plan::derive(manifest, &operator).unwrap();
        let whole = micros(begun);
        let layers = plan.compiled().layers().iter();
        #[expect(clippy::cast_precision_loss, reason = "some milliseconds")]
        let proof = layers.map(|layer| layer.micros as f64).sum();
        // The first one warms up.
        if round > 0 {
            measured.0.add(whole - proof);
            measured.1.add(proof);
        }
    }
    let row = Row {
        id: "P11",
        what: "proof of a profile".into(),
        unit: "µs",
        floor: "deriving the plan but for its proof",
        target: Target::Most(5000.0),
    };
    row.of(&measured)
}
