"""Modules of the controlnet-aux package, one by one.

`import controlnet_aux` imports every detector, and with them torchvision, timm and mediapipe, which
not every torch has builds of and which the networks themselves do not need. So the folders of the
package stand here as bare packages under a name of our own: their `__init__` is never run, relative
imports inside still work, and `import controlnet_aux` elsewhere is left as it is.
"""

import importlib
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

PACKAGE = "controlnet_aux"
OURS = "controlnet_aux_part"


def part(name: str) -> ModuleType:
    """The module `name` of controlnet-aux, e.g. "pidi.model"."""
    *folders, last = name.split(".")
    folder, package = _root(), OURS
    _bare(package, folder)
    for inner in folders:
        folder, package = folder / inner, f"{package}.{inner}"
        _bare(package, folder)
    with warnings.catch_warnings():  # what it says of its own use of torch and SciPy
        warnings.simplefilter("ignore")
        return importlib.import_module(f"{package}.{last}")


def geffnet() -> ModuleType:
    """EfficientNets by G. Wightman, a package within the package that imports itself by name."""
    _bare("geffnet", _root() / "normalbae/nets/submodules/efficientnet_repo/geffnet")
    return importlib.import_module("geffnet.gen_efficientnet")


def _root() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(PACKAGE)
    return Path(spec.submodule_search_locations[0])


def _bare(name: str, folder: Path) -> None:
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules.setdefault(name, package)
