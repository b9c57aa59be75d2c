"""Model families that an operator adds as packages.

`marks` has `MARKS`, what `graph/families.py` has of each family, and imports no torch: the router
reads it. `family` has `FAMILY`, as the folders of `diffusion/families` have one.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from graph.families import FAMILIES
from graph.family_marks import Family as Marks

if TYPE_CHECKING:
    from diffusion.families.registry import Families


def marks_with(packages: Sequence[str]) -> tuple[Marks, ...]:
    """The marks of all known families; those that were added come first."""
    return (*(import_module(f"{package}.marks").MARKS for package in packages), *FAMILIES)


def families_with(packages: Sequence[str]) -> "Families":
    """All families that are served; those that were added come first."""
    from diffusion.families.registry import FAMILIES, Families  # noqa: PLC0415 - imports torch

    added = (import_module(f"{package}.family").FAMILY for package in packages)
    return Families((*added, *FAMILIES.families))
