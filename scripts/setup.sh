#!/bin/sh
# Makes .venv exactly as uv.lock says. Run again it does nothing, unless uv.lock or pyproject.toml changed.
set -eu
cd "$(dirname "$0")/.."

wanted=$(cat uv.lock pyproject.toml | sha256sum | cut -d ' ' -f 1)
stamp=.venv/.made-from
if [ -x .venv/bin/chalkmark ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

# Compiled here once, and not in every process where Python may not write beside its sources.
scripts/uv.sh sync --frozen --compile-bytecode >&2
echo "$wanted" > "$stamp"
