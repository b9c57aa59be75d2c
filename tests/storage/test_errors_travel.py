import importlib
import pickle
import pkgutil
import subprocess
import sys
from dataclasses import fields

import pytest

import api
import storage
from graph.errors import ServiceError

MODULES = [
    importlib.import_module(found.name)
    for package in (api, storage)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not found.name.startswith("storage.migrations.")
]
ERRORS = sorted(
    {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceError)
        if value.__module__.partition(".")[0] in {"api", "storage"}
    },
    key=lambda error: error.__name__,
)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_arrives_from_another_process_as_it_was(kind: type[ServiceError]) -> None:
    error = kind(*range(1, 1 + len(fields(kind))))
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is kind
    assert str(arrived) == str(error)


def test_neither_ray_nor_torch_is_imported() -> None:
    program = "import sys, api.app, storage.inputs; print({'ray', 'torch'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
