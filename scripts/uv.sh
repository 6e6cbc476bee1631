#!/bin/sh
# Runs uv with the arguments given: the one on the PATH, else one of our own in .uv. Nothing is installed outside this
# folder, but for Debian's python3-venv, where that is missing and we are root.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if new_enough "$name"; then
            command -v "$name"
            return
        fi
    done
    echo "Python 3.11 or newer is missing. On Debian 12 and Ubuntu 24.04:" >&2
    echo "    apt-get install python3 python3-venv" >&2
    return 1
}

make_venv() {
    rm -rf "$root/.uv"
    "$1" -m venv "$root/.uv" >/dev/null 2>&1
}

UV_PYTHON=${UV_PYTHON:-$(find_python)}
export UV_PYTHON
# A link to the interpreter may lead to a virtual environment that is active; .venv is ours in any case.
unset VIRTUAL_ENV

if uv --version >/dev/null 2>&1; then
    cd "$root" && exec uv "$@"
fi

if ! "$root/.uv/bin/uv" --version >/dev/null 2>&1; then
    echo "Fetching uv into .uv ..." >&2
    if ! make_venv "$UV_PYTHON"; then
        # Debian and Ubuntu leave ensurepip out of python3.
        package="python$("$UV_PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "Installing $package ..." >&2
            apt-get install -y -qq "$package" >&2 || { apt-get update -qq >&2 && apt-get install -y -qq "$package" >&2; }
            make_venv "$UV_PYTHON"
        else
            echo "Python's venv module does not work here. On Debian and Ubuntu, as root:" >&2
            echo "    apt-get install $package" >&2
            echo "or install uv by any means and run this again." >&2
            exit 1
        fi
    fi
    "$root/.uv/bin/python" -m pip install --quiet --disable-pip-version-check uv >&2
fi
cd "$root" && exec "$root/.uv/bin/uv" "$@"
