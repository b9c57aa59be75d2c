"""A stand-in for a GPU: tensors that say they are on `cuda`, and are computed on the CPU.

What a GPU would refuse is refused: an operation over tensors of both devices, a generator of the
other one, numpy over a tensor that is not the CPU's. So a machine without a GPU finds such
mistakes, and the numbers stay those of the CPU.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "standin"  # a device type of its own, by torch's place for backends from elsewhere
CPU = torch.device("cpu")


@cache
def gpu() -> torch.device:
    """The device; registered once in a process."""
    _setup_privateuseone_for_python_backend(NAME)
    return torch.device(NAME, 0)


aten = torch.ops.aten
CROSSING = {
    aten.copy_.default,
    aten._to_copy.default,
    aten.to.device,
    aten.to.dtype_layout,
}  # may read from another device
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}  # by the CPU's


class WrongDeviceError(AssertionError):
    """What a GPU would have refused."""


class OnGpu(Tensor):
    """A tensor that is on the stand-in."""

    kept: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, kept: Tensor) -> "OnGpu":
        with torch.inference_mode(mode=False):  # else it could not be indexed
            made = Tensor._make_wrapper_subclass(
                cls,
                kept.shape,
                strides=kept.stride(),
                storage_offset=kept.storage_offset(),
                dtype=kept.dtype,
                layout=kept.layout,
                device=gpu(),
            )
        made.kept = kept
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.kept!r})"

    def tolist(self) -> Any:
        """Tensors of other classes have none."""
        return self.kept.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return dispatched(func, args, kwargs or {})


class Mode(TorchDispatchMode):
    """Sees what makes tensors on the stand-in out of none."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


def dispatched(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The answer of an operation, on the device that a GPU's would be on."""
    flat = tree_flatten((args, kwargs))[0]
    tensors = [one for one in flat if isinstance(one, Tensor)]
    there = [one for one in tensors if isinstance(one, OnGpu)]
    asked = next((one for one in flat if isinstance(one, torch.device)), None)
    args, kwargs = tree_map_only(torch.device, lambda _: CPU, (args, kwargs))
    to_gpu = bool(there) if asked is None else asked.type == NAME
    if function is aten._fused_sdp_choice.default:
        return 0  # written out, which any device can
    if function not in CROSSING:
        _check(function, args, tensors, there)
    if function is aten.copy_.default:
        to_gpu = isinstance(args[0], OnGpu)
    generator = kwargs.get("generator")
    if generator is not None and to_gpu:
        raise WrongDeviceError(f"{function}: a generator of the CPU draws on the GPU")
    kept = tree_map_only(OnGpu, lambda one: one.kept, (args, kwargs))
    with torch._C._DisableTorchDispatch():
        answer = function(*kept[0], **kept[1])
    if to_gpu and any(answer is one.kept for one in there):  # in place
        return next(one for one in there if one.kept is answer)
    return tree_map_only(Tensor, OnGpu, answer) if to_gpu else answer


def _check(function: Any, args: Any, tensors: list[Tensor], there: list[OnGpu]) -> None:
    if not there:
        return
    if function in INDEXED and isinstance(args[0], OnGpu):
        rest = (args[0], *args[2:])
        tensors = [one for one in tree_flatten(rest)[0] if isinstance(one, Tensor)]
    others = [one for one in tensors if not isinstance(one, OnGpu) and one.ndim]
    if others:
        shapes = [tuple(one.shape) for one in others]
        raise WrongDeviceError(f"{function}: tensors {shapes} are on the CPU, others on the GPU")


@contextmanager
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """The device, while it lasts; threads' work is done at once, in this one, which sees all."""

    def at_once(_pool: object, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **named))
        except BaseException as error:  # noqa: BLE001 - it is the caller's to see
            future.set_exception(error)
        return future

    monkeypatch.setattr(ThreadPoolExecutor, "submit", at_once)
    monkeypatch.setattr(torch.__future__, "get_overwrite_module_params_on_conversion", lambda: True)
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # so that torch.tensor(1, device=...) is seen to move
    try:
        with torch.no_grad(), Mode():  # type: ignore[no-untyped-call]
            yield gpu()
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
