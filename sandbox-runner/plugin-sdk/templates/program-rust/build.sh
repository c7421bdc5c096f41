#!/bin/sh
# Builds package/plugin, which needs no library: there is none where it runs.
set -eu
cd -- "$(dirname -- "$0")"
target=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target "$host"
cp -- "$target/$host/release/plugin" package/plugin
