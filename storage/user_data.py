"""Files that the editor saves for each owner: "userdata/<owner>/..."."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from graph.errors import ServiceError
from storage.files import Files, StoredFile, read
from storage.paths import owner_prefix, relative_name

KIND = "userdata"


@dataclass(frozen=True)
class UserDataLimits:
    """How many files an owner may keep, and how large they may be."""

    count: int = 2000
    file_bytes: int = 16 * 2**20
    all_bytes: int = 256 * 2**20


@dataclass(eq=False)
class UserFileMissingError(ServiceError):
    """A file or folder that an owner does not have."""

    status = 404
    code = "user_file_not_found"
    template = "There is no {name!r} among the saved files."
    name: str


@dataclass(eq=False)
class UserFileExistsError(ServiceError):
    """A file that is there, where the caller asked not to replace one."""

    status = 409
    code = "user_file_exists"
    template = "There is a file {name!r} already."
    name: str


@dataclass(eq=False)
class UserDataFullError(ServiceError):
    """More files, or larger ones, than an owner may keep."""

    status = 413
    code = "user_data_full"
    template = "Saved files are limited: {received} {what}, at most {limit}."
    what: str
    received: int
    limit: int


@dataclass(frozen=True)
class UserFile:
    """A file of an owner, "workflows/a.json"."""

    path: str
    size: int
    modified_s: float


class UserData:
    """Every owner's files. Blocks: async code calls it in a thread."""

    def __init__(self, files: Files, limits: UserDataLimits | None = None) -> None:
        self.files = files
        self._limits = limits or UserDataLimits()

    def list(self, owner: str, folder: str = "") -> list[UserFile]:
        """All files under a folder, in sub-folders too, sorted; paths are relative to it.

        Raises:
            UserFileMissingError: there is no such folder, that is: nothing in it.
        """
        prefix = self._key(owner, folder) + "/" if folder else owner_prefix(KIND, owner)
        found = sorted(self._under(prefix), key=lambda file: file.path)
        if folder and not found:
            raise UserFileMissingError(folder[:200])
        return found

    def find(self, owner: str, path: str) -> StoredFile:
        """A file as it is stored.

        Raises:
            UserFileMissingError: there is none.
        """
        found = self.files.find(self._key(owner, path))
        if found is None:
            raise UserFileMissingError(path[:200])
        return found

    def info(self, owner: str, path: str) -> UserFile:
        """A file's size and time.

        Raises:
            UserFileMissingError: there is none.
        """
        name, parent = PurePosixPath(path).name, str(PurePosixPath(path).parent)
        near = self.list(owner, "" if parent == "." else parent)
        file = next((file for file in near if file.path == name), None)
        if file is None:
            raise UserFileMissingError(path[:200])
        return UserFile(path, file.size, file.modified_s)

    def write(self, owner: str, path: str, content: bytes, *, overwrite: bool) -> UserFile:
        """Save a file.

        Raises:
            UserFileExistsError, UserDataFullError: nothing was saved.
        """
        key = self._key(owner, path)
        if not overwrite and self.files.find(key):
            raise UserFileExistsError(path[:200])
        limits, others = self._limits, [f for f in self.list(owner) if f.path != path]
        _bounded("bytes in one file", len(content), limits.file_bytes)
        _bounded("files", len(others) + 1, limits.count)
        held = sum(file.size for file in others) + len(content)
        _bounded("bytes in all files", held, limits.all_bytes)
        self.files.put(key, content)
        return self.info(owner, path)

    def move(self, owner: str, path: str, to: str, *, overwrite: bool) -> UserFile:
        """Give a file another name.

        Raises:
            UserFileMissingError, UserFileExistsError: nothing was moved.
        """
        content = read(self.files, self.find(owner, path).key)
        moved = self.write(owner, to, content, overwrite=overwrite)
        if self._key(owner, path) != self._key(owner, to):
            self.files.delete([self._key(owner, path)])
        return moved

    def delete(self, owner: str, path: str) -> None:
        """Remove a file.

        Raises:
            UserFileMissingError: there is none.
        """
        self.files.delete([self.find(owner, path).key])

    def remove_all(self, owner: str) -> None:
        """Remove all files of an owner."""
        prefix = owner_prefix(KIND, owner)
        self.files.delete([file.key for file in self.files.list(prefix)])

    def _under(self, prefix: str) -> Iterator[UserFile]:
        for listed in self.files.list(prefix):
            stored = self.files.find(listed.key)
            if stored is not None:  # gone meanwhile
                path = listed.key.removeprefix(prefix)
                yield UserFile(path, stored.size, listed.modified_s)

    def _key(self, owner: str, path: str) -> str:
        return owner_prefix(KIND, owner) + relative_name(path)


def _bounded(what: str, received: int, limit: int) -> None:
    if received > limit:
        raise UserDataFullError(what, received, limit)
