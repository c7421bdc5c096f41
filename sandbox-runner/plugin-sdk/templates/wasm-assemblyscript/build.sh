#!/bin/sh
# Builds package/plugin.wasm.
set -eu
cd -- "$(dirname -- "$0")"
[ -x node_modules/.bin/asc ] || npm ci --silent --ignore-scripts
# The host has no `abort` to import, so gm.ts brings one.
node_modules/.bin/asc index.ts -o package/plugin.wasm -O --runtime incremental --use abort=gm/gm_abort
