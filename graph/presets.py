"""Presets: combo entries that stand for files of the models folder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from graph.values import ModelFile


@dataclass(frozen=True)
class Wanted:
    """One file of a preset: what it is for, where it lies, how it may be named.

    `patterns` are tried in order, each against every name of the folder. `usual` is the name under
    which it is published. What is `needed` must be there, whatever else its folder has; `note` is
    said where it is not.
    """

    use: str
    folder: str
    patterns: tuple[str, ...]
    usual: str
    needed: bool = False
    note: str = ""

    def among(self, names: list[str]) -> str | None:
        """The name that fits, if one does."""
        fitting = (
            name
            for pattern in self.patterns
            for name in names
            if re.search(pattern, name, re.IGNORECASE)
        )
        return next(fitting, None)


@dataclass(frozen=True)
class Presets:
    """A combo of presets; the node gets PresetFiles.

    Each needs one file of every folder, and all that it says are needed.
    """

    of: tuple[tuple[str, tuple[Wanted, ...]], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.of)

    def wanted(self, name: str) -> tuple[Wanted, ...]:
        return dict(self.of)[name]


@dataclass(frozen=True)
class PresetFiles:
    """A preset, with those of its files that are there, by use."""

    name: str
    files: tuple[tuple[str, ModelFile], ...]

    def by_use(self) -> Mapping[str, ModelFile]:
        return dict(self.files)
