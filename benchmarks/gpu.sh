#!/bin/sh
# What this machine's GPU does: gpu.sh [--tiny] [--device cpu] [--out FOLDER] [--seconds 345] [PART ...].
#
# One run of at most six minutes, without any model file: networks of full size and random weights.
# It prints a table, and writes it and build/gpu.json beside it. A part that fails, or for which no
# time is left, is said to, and the others go on.
set -eu
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv/bin/python}" -m benchmarks.gpu "$@"
