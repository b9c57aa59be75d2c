"""Makes a folder that only its owner can read."""

import logging
import os
from pathlib import Path

LOG = logging.getLogger(__name__)


def private_folder(folder: Path) -> Path:
    """Make a folder, or tighten the one that is there: 0700, and 0600 for the files at its top."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in (folder, *folder.iterdir()):
        if path.is_symlink():
            continue
        try:
            path.chmod(0o700 if path.is_dir() else 0o600)
        except OSError as error:  # another's, of a volume that is shared, or gone meanwhile
            LOG.warning("%s is readable by other users: %s", path, error.strerror)
    return folder


def write_privately() -> None:
    """Have all files that this process makes from now on be readable by its owner alone."""
    os.umask(0o077)
