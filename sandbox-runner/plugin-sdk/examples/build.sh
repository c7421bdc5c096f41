#!/bin/sh
# Builds the example plugins and lays out their packages, unsigned:
#     OUT_DIR/<plugin_id>/{plugin.manifest.toml,plugin.wasm}
# An existing package of the same id is replaced. CARGO_TARGET_DIR counts.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 OUT_DIR" >&2
    exit 2
fi
examples=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p -- "$1"
out=$(CDPATH='' cd -- "$1" && pwd)
target=${CARGO_TARGET_DIR:-$examples/target}
case $target in
/*) ;;
*) target=$PWD/$target ;;
esac

# From there, so that no configuration or toolchain of another project counts.
cd -- "$examples"
CARGO_TARGET_DIR=$target cargo build --release --locked --target wasm32-unknown-unknown

for example in co-change commit-lint commit-stats; do
    manifest=$examples/$example/plugin.manifest.toml
    id=$(sed -n 's/^plugin_id *= *"\([a-z0-9.-]*\)"$/\1/p' "$manifest")
    [ -n "$id" ] || {
        echo "$manifest names no plugin_id" >&2
        exit 1
    }
    # cargo writes `co-change` as `co_change.wasm`.
    module=$target/wasm32-unknown-unknown/release/$(echo "$example" | tr - _).wasm
    rm -rf -- "${out:?}/$id"
    mkdir -- "$out/$id"
    cp -- "$manifest" "$out/$id/plugin.manifest.toml"
    cp -- "$module" "$out/$id/plugin.wasm"
    chmod 0644 "$out/$id/plugin.manifest.toml" "$out/$id/plugin.wasm"
    echo "$out/$id"
done
