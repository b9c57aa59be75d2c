"""Whether the functions that nodes call are there, under those names and with those parameters."""

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import pytest

from graph.nodes import (
    image,
    image_filters,
    latents,
    latents_arithmetic,
    latents_empty,
    masks,
)

IMAGE_PLACES = (image.Images, image_filters.Filters, masks.Masks)
LATENT_PLACES = (
    latents.Latents,
    latents_empty.EmptyLatents,
    latents_arithmetic.LatentArithmetic,
)
LATENT_MODULES = (
    "diffusion.latent.latents",
    "diffusion.latent.batches",
    "diffusion.latent.operations",
)


def image_modules() -> list[ModuleType]:
    names = [
        found.name for found in pkgutil.iter_modules(importlib.import_module("imaging").__path__)
    ]
    modules = [importlib.import_module(f"imaging.{name}") for name in names]
    return [*modules, importlib.import_module("preprocessors.canny")]


def wanted(*places: type) -> list[tuple[str, Any]]:
    return [
        (name, method)
        for place in places
        for name, method in vars(place).items()
        if inspect.isfunction(method) and not name.startswith("_")
    ]


def parameters(function: Any, skip: int = 0) -> list[tuple[str, Any]]:
    given = list(inspect.signature(function).parameters.values())[skip:]
    return [(p.name, p.kind) for p in given if p.default is inspect.Parameter.empty]


@pytest.mark.parametrize(("name", "method"), wanted(*IMAGE_PLACES))
def test_image_nodes_find_their_functions(name: str, method: Any) -> None:
    (function,) = {getattr(module, name) for module in image_modules() if hasattr(module, name)}
    assert parameters(function) == parameters(method, skip=1)


@pytest.mark.parametrize(("name", "method"), wanted(*LATENT_PLACES))
def test_latent_nodes_find_their_functions(name: str, method: Any) -> None:
    modules = [importlib.import_module(module) for module in LATENT_MODULES]
    (function,) = {getattr(module, name) for module in modules if hasattr(module, name)}
    assert parameters(function) == parameters(method, skip=1)
