#!/bin/sh
# Install ComfyUI's editor beside the locked packages: install_editor.sh VERSION FOLDER.
#
# The package comfyui-frontend-package is under the GPL-3 and no part of this repository. Whatever
# has FOLDER in its PYTHONPATH serves it.
set -eu

version=$1
folder=$2
if [ -d "$folder/comfyui_frontend_package-$version.dist-info" ]; then
    exit 0
fi
rm -rf "$folder"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
    --target "$folder" "comfyui-frontend-package==$version"
