#!/bin/sh
# Install Debian's Chromium, which drives the page in tests, where no Chromium is there yet.
set -eu

for name in chromium chromium-browser chromium-headless-shell google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
if ! command -v apt-get >/dev/null; then
    echo 'tests of the page need Chromium: install it, or leave them out with -m "not browser"' >&2
    exit 1
fi
apt-get update -q >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium-headless-shell >/dev/null
