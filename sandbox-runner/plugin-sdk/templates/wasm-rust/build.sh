#!/bin/sh
# Builds package/plugin.wasm.
set -eu
cd -- "$(dirname -- "$0")"
target=${CARGO_TARGET_DIR:-target}
cargo build --release --target wasm32-unknown-unknown
cp -- "$target/wasm32-unknown-unknown/release/plugin.wasm" package/plugin.wasm
