#!/bin/sh
# Builds package/plugin.so.
set -eu
cd -- "$(dirname -- "$0")"
target=${CARGO_TARGET_DIR:-target}
cargo build --release
cp -- "$target/release/libplugin.so" package/plugin.so
