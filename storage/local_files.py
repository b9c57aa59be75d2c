"""File storage in a folder, encrypted where a key is set."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from storage.encryption import UndecryptableError
from storage.files import PIECE_BYTES, FileStoreError, ListedFile, MissingFileError, StoredFile
from storage.paths import UnsafePathError, inside
from storage.sealing import MAGIC, PLAIN, Chunks, Sealer, is_sealed


class LocalFiles:
    """The files under `root`. With a `sealer` new ones are encrypted; older ones stay plain."""

    def __init__(self, root: Path, sealer: Sealer | None = None) -> None:
        self._root = root
        self._sealer = sealer

    def put(self, key: str, content: bytes) -> None:
        """Write beside the place, then move there."""
        path = inside(self._root, key)
        partial = path.with_name(f".{os.getpid()}-{os.urandom(6).hex()}.part")
        pieces = self._sealer.seal(content, key) if self._sealer else _plain(content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.writelines(pieces)
            partial.replace(path)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            raise UnsafePathError(
                key[-80:], "a file is where a folder is needed, or the other way round"
            ) from error
        except OSError as error:
            raise FileStoreError(error.strerror or "the disk failed") from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def find(self, key: str) -> StoredFile | None:
        """A file's size is that of what was put, however it is stored."""
        try:
            with self._open(key) as file:
                stored = os.fstat(file.fileno())
                head = file.read(len(MAGIC))
        except MissingFileError:
            return None
        sealed = is_sealed(head)
        size = Chunks.of(stored.st_size).plain_bytes if sealed else stored.st_size - _skipped(head)
        return StoredFile(key, size, f"{stored.st_mtime_ns:x}-{size:x}")

    def stream(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Opened here, read and closed as the pieces are taken.

        Raises:
            UndecryptableError: it is encrypted with another key.
        """
        file = self._open(key)
        head = file.read(len(MAGIC))
        size = os.fstat(file.fileno()).st_size
        file.seek(0)
        if not is_sealed(head):
            skipped = _skipped(head)
            end = size if stop is None else min(stop + skipped, size)
            return _pieces(file, start + skipped, end)
        if self._sealer is None:
            file.close()
            raise UndecryptableError(key)
        plain_bytes = Chunks.of(size).plain_bytes
        return _unsealed(
            self._sealer,
            file,
            key,
            (start, plain_bytes if stop is None else min(stop, plain_bytes)),
        )

    def list(self, prefix: str) -> Iterator[ListedFile]:
        """What was being written when a process died is listed too, so that it can be swept.

        With a sealer, the size of a file from before is that of an encrypted one, a little less.
        """
        for folder, _, names in os.walk(self._root / prefix):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    stat = path.lstat()
                    key = path.relative_to(self._root).as_posix()
                    yield ListedFile(key, stat.st_mtime, self._size(stat.st_size))

    def sweep(self, prefix: str, before_s: float) -> int:
        """What a process left when it died is listed, so it goes too."""
        old = [file.key for file in self.list(prefix) if file.modified_s < before_s]
        self.delete(old)
        return len(old)

    def delete(self, keys: Iterable[str]) -> None:
        """Folders that are empty now go too."""
        for key in keys:
            path = self._root / key
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self._root or not _removed(folder):
                    break

    def link(self, key: str) -> str | None:  # noqa: ARG002 - a folder has no URLs
        """None: who has the file serves it."""
        return None

    def key_of(self, url: str) -> str | None:  # noqa: ARG002
        """None, see `link`."""
        return None

    def _size(self, stored_bytes: int) -> int:
        return Chunks.of(stored_bytes).plain_bytes if self._sealer else stored_bytes

    def _open(self, key: str) -> BinaryIO:
        try:
            return inside(self._root, key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, UnsafePathError) as error:
            raise MissingFileError(key[:200]) from error
        except OSError as error:
            raise FileStoreError(error.strerror or "the disk failed") from error


def _plain(content: bytes) -> tuple[bytes, ...]:
    """A file that is not encrypted; marked where it looks as if it were."""
    return (PLAIN, content) if content.startswith((MAGIC, PLAIN)) else (content,)


def _skipped(head: bytes) -> int:
    """The bytes of the mark that a file begins with."""
    return len(PLAIN) if head.startswith(PLAIN) else 0


def _pieces(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = stop - start
        while left > 0 and (piece := file.read(min(left, PIECE_BYTES))):
            left -= len(piece)
            yield piece


def _unsealed(sealer: Sealer, file: BinaryIO, key: str, part: tuple[int, int]) -> Iterator[bytes]:
    with file:
        yield from sealer.open(file, key, *part)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
