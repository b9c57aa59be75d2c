#!/bin/sh
# Fetch krita-ai-diffusion (GPL-3) with what it needs beside Krita: install_krita_plugin.sh FOLDER.
#
# KRITA_PLUGIN may name a checkout of it where GitHub cannot be reached. Tests run its client class
# as it is; nothing of ours imports it.
set -eu

folder=$1
commit=0217cd2197fcadbd70d7e63af25e29cc21cb7c8b
wanted='PyQt5==5.15.11 websockets==17.4'
if [ "$(cat "$folder/installed" 2>/dev/null)" = "$commit $wanted" ]; then
    exit 0
fi
rm -rf "$folder"
PIP_PYTHON=.venv/bin/python
. cluster/pip_settings.sh
.venv/bin/uv venv --quiet --python .venv/bin/python "$folder"
# shellcheck disable=SC2086
.venv/bin/uv pip install --quiet --python "$folder/bin/python" $wanted
if [ -n "${KRITA_PLUGIN:-}" ]; then
    cp -R "$KRITA_PLUGIN" "$folder/plugin"
else
    mkdir "$folder/plugin"
    curl -fsSL "https://github.com/Acly/krita-ai-diffusion/archive/$commit.tar.gz" -o "$folder/plugin.tar.gz"
    tar -xzf "$folder/plugin.tar.gz" -C "$folder/plugin" --strip-components 1
fi
sockets=$folder/plugin/ai_diffusion/websockets/src # a submodule of its repository
mkdir -p "$sockets"
echo 'import websockets' >"$sockets/__init__.py"
printf '%s\n' "$commit $wanted" >"$folder/installed"
