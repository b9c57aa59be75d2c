#!/bin/sh
# Bring a virtual environment to exactly what the locks say: install.sh [FOLDER [dev]], default .venv.
# `dev` adds what developing needs.
#
# Pip's configuration decides where packages come from. Where it offers a CPU build of torch, that
# one is taken; elsewhere it is the default build, and on Linux its CUDA libraries with it.
set -eu

venv=${1:-.venv}
tools=${2:-}
lock=requirements.lock
say() { printf 'setup: %s\n' "$*"; }

find_python() { # the one that PYTHON names, or any that is new enough
    for candidate in ${PYTHON:-python3 python python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer is needed${PYTHON:+, and $PYTHON is not}; name it with PYTHON=" >&2
    return 1
}

pinned() { # NAME: that package's entry of the lock
    awk -v name="$1" 'index($0, name "==") == 1 { on = 1 } on { print } on && !/\\$/ { exit }' $lock
}

if [ ! -x "$venv/bin/python" ]; then
    python=$(find_python)
    say "making $venv with $python"
    "$python" -m venv "$venv"
fi
PIP_PYTHON=$venv/bin/python
"$PIP_PYTHON" -m pip --version >/dev/null 2>&1 || PIP_PYTHON=$(find_python)
if command -v uv >/dev/null; then
    uv=uv
else
    uv=$venv/bin/uv
    if [ ! -x "$uv" ]; then
        say 'installing uv'
        pinned uv >"$venv/uv.lock"
        "$PIP_PYTHON" -m pip --python "$venv/bin/python" install --quiet \
            --disable-pip-version-check --require-hashes -r "$venv/uv.lock"
    fi
fi

. cluster/pip_settings.sh
torch=$(pinned torch | sed -n '1s/ .*//p')
wanted=$venv/requirements.lock
if "$uv" pip install --quiet --python "$venv/bin/python" --dry-run --no-deps "$torch+cpu" \
    2>/dev/null; then
    say "a CPU build of $torch is offered and taken"
    sed "s/^$torch /$torch+cpu /" $lock >"$wanted" # uv looks hashes up by the exact version
else
    cp $lock "$wanted"
    cat requirements-cuda.lock >>"$wanted"
fi
[ "$tools" != dev ] || cat requirements-dev.lock >>"$wanted"
say 'installing the locked packages'
"$uv" pip sync --quiet --python "$venv/bin/python" --require-hashes "$wanted"

if [ -d clients/python ]; then # the `comfyray` command; an image is made without it
    "$uv" pip install --quiet --offline --no-deps --python "$venv/bin/python" --editable clients/python
fi

# A dozen Ray processes start at once; they need not all compile the same modules on the first run.
say 'compiling Ray to bytecode'
"$venv/bin/python" -m compileall -q "$("$venv/bin/python" -c \
    'import importlib.util as u; print(*u.find_spec("ray").submodule_search_locations)')"
"$venv/bin/python" -c 'from ray import serve'
