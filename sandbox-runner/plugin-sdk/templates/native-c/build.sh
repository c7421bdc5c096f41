#!/bin/sh
# Builds package/plugin.so.
set -eu
cd -- "$(dirname -- "$0")"
"${CC:-cc}" -std=c11 -Wall -Wextra -O2 -fPIC -shared -fvisibility=hidden \
    -Wl,-z,noexecstack,-z,now -o package/plugin.so plugin.c
