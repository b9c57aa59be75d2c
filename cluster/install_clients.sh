#!/bin/sh
# Install programs written for ComfyUI into an environment of their own: install_clients.sh FOLDER.
#
# Tests run them as they are. Some are under the GPL-3; nothing of ours imports them.
set -eu

folder=$1
wanted='comfy-cli==1.23.0 comfy-api-simplified==1.6.0 comfy-script[client]==0.6.1 pillow tqdm'
if [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
rm -rf "$folder"
PIP_PYTHON=.venv/bin/python
. cluster/pip_settings.sh
.venv/bin/uv venv --quiet --python .venv/bin/python "$folder"
# shellcheck disable=SC2086
.venv/bin/uv pip install --quiet --python "$folder/bin/python" $wanted
printf '%s\n' "$wanted" >"$folder/installed"
