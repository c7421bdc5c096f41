//! The probes themselves, without the harness: `cargo test -p gm-integration-tests
//! --test probes`.

#[cfg(test)]
mod controls;
