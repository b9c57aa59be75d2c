"""Brings models from a bucket to a node's disk, before the node serves.

    python -m deployments.node_models index FOLDER > models.json
    python -m deployments.node_models bring FOLDER --bucket models --max-gib 200 'checkpoints/*'

Upload a folder of models and its `models.json` together (rclone, aws s3 sync). `bring` checks every
file by its hash, and keeps what was wanted earlier as long as it fits.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from graph.errors import ServiceError
from storage.models.node_disk import bring, index_of
from storage.s3 import Bucket, S3Files


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deployments.node_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    index = commands.add_parser("index", help="print the index of a folder of models")
    index.add_argument("folder", type=Path)
    fetch = commands.add_parser("bring", help="have files of the bucket in a folder")
    fetch.add_argument("folder", type=Path)
    fetch.add_argument("patterns", nargs="+", help="names: checkpoints/sd_xl*.safetensors")
    fetch.add_argument("--bucket", required=True)
    fetch.add_argument("--prefix", default="", help="what the names in the bucket begin with")
    fetch.add_argument("--endpoint", help="of the S3 server; Amazon's where there is none")
    fetch.add_argument("--region")
    fetch.add_argument("--max-gib", type=float, required=True, help="of all files in the folder")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    if asked.command == "index":
        sys.stdout.write(f"{index_of(asked.folder)}\n")
        return 0
    try:
        bucket = Bucket(asked.bucket, asked.endpoint, asked.region, prefix=asked.prefix)
        done = bring(S3Files(bucket), asked.folder, asked.patterns, int(asked.max_gib * 2**30))
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name in done.went:
        sys.stdout.write(f"removed {name}\n")
    for name in done.came:
        sys.stdout.write(f"fetched {name}\n")
    sys.stdout.write(f"{asked.folder} has {done.kept_bytes / 2**30:.1f} GiB of models\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
