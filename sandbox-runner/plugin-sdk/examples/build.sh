#!/bin/sh
# Builds example plugins and lays out their packages, unsigned:
#     OUT_DIR/<plugin_id>/{plugin.manifest.toml,plugin.wasm,...}
# An existing package of the same id is replaced. CARGO_TARGET_DIR counts.
#
# Without names: the three in Rust. co-change-c needs clang and lld, co-change-as
# node and npm (which fetches the compiler that package-lock.json names);
# co-change-native cc; co-change-lua and co-change-js need nothing.
set -eu

if [ $# -lt 1 ]; then
    echo "usage: $0 OUT_DIR [EXAMPLE...]" >&2
    exit 2
fi
examples=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
types=$(CDPATH='' cd -- "$examples/../types" && pwd)
mkdir -p -- "$1"
out=$(CDPATH='' cd -- "$1" && pwd)
shift
target=${CARGO_TARGET_DIR:-$examples/target}
case $target in
/*) ;;
*) target=$PWD/$target ;;
esac

# From there, so that no configuration or toolchain of another project counts.
cd -- "$examples"

in_rust() {
    CARGO_TARGET_DIR=$target cargo build --release --locked --target wasm32-unknown-unknown
    # cargo writes `co-change` as `co_change.wasm`.
    code=$target/wasm32-unknown-unknown/release/$(echo "$1" | tr - _).wasm
}

in_c() {
    mkdir -p -- "$target/$1"
    code=$target/$1/plugin.wasm
    clang --target=wasm32 -std=c11 -Os -nostdlib -I "$types" \
        -Wl,--no-entry,--stack-first,--strip-all -o "$code" co-change-c/co_change.c
}

in_native_c() {
    mkdir -p -- "$target/$1"
    code=$target/$1/plugin.so
    "${CC:-cc}" -std=c11 -O2 -fPIC -shared -fvisibility=hidden -Wl,-z,noexecstack,-z,now \
        -I "$types" -o "$code" co-change-c/co_change.c
}

in_assemblyscript() {
    mkdir -p -- "$target/$1"
    cp -- "$1"/* "$types/gm.ts" "$target/$1"
    (
        cd -- "$target/$1"
        [ -x node_modules/.bin/asc ] || npm ci --silent --ignore-scripts || {
            echo "npm could not fetch the compiler" >&2
            exit 75 # EX_TEMPFAIL: for tests, which may have no network
        }
        node_modules/.bin/asc index.ts -o plugin.wasm -O --runtime incremental --use abort=gm/gm_abort
    )
    code=$target/$1/plugin.wasm
}

[ $# -gt 0 ] || set -- co-change commit-lint commit-stats
for example; do
    manifest=$examples/$example/plugin.manifest.toml
    id=$(sed -n 's/^plugin_id *= *"\([a-z0-9.-]*\)"$/\1/p' "$manifest")
    entrypoint=$(sed -n 's/^entrypoint *= *"\([a-z0-9._-]*\)"$/\1/p' "$manifest")
    [ -n "$id" ] && [ -n "$entrypoint" ] || {
        echo "$manifest names no plugin_id or no entrypoint" >&2
        exit 1
    }
    case $example in
    co-change-c) in_c "$example" ;;
    co-change-native) in_native_c "$example" ;;
    co-change-as) in_assemblyscript "$example" ;;
    co-change-lua | co-change-js) code=$examples/$example/$entrypoint ;;
    *) in_rust "$example" ;;
    esac
    rm -rf -- "${out:?}/$id"
    mkdir -- "$out/$id"
    cp -- "$manifest" "$out/$id/plugin.manifest.toml"
    cp -- "$code" "$out/$id/$entrypoint"
    chmod 0644 "$out/$id/plugin.manifest.toml" "$out/$id/$entrypoint"
    echo "$out/$id"
done
