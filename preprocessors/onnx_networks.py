"""Networks in ONNX files, run by onnxruntime on the CPU: a graph of operators, and no program.

Files are looked through before they are opened (graph/model_files/onnx_graph.py). What they make
lies in one bounded arena, and a run that takes too long is ended.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from threading import Lock, Timer
from typing import Any

import numpy as np
import torch

from graph.errors import ServiceError
from graph.model_files.limits import BadHeaderError
from graph.model_files.onnx_graph import read_onnx
from preprocessors.detectors import AnnotatorFile
from preprocessors.pictures import Picture

MOST_MEMORY_BYTES = 6 * 2**30  # of all networks of a process, with what they make
SLOWEST_RUN_S = 120.0
# Of inputs; all others are float32.
DTYPES = {"tensor(double)": np.float64, "tensor(float16)": np.float16}
QUIET = 4  # onnxruntime's level for what ends the process alone
SIZE_AS_ASKED = 1  # how the arena grows
NUMBERS = "fiub"  # kinds of dtypes
FOLDING = "ConstantFolding"
SHRINK = ("memory.enable_memory_arena_shrinkage", "cpu:0")


@dataclass(eq=False)
class NetworkRunError(ServiceError):
    """A network in an ONNX file that cannot take what it was given, or gives something else."""

    status = 422
    code = "bad_model_file"
    template = "The network in {name} failed: {problem}."
    name: str
    problem: str


@dataclass(frozen=True)
class Socket:
    """An input or output. Sides that the file leaves open are None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: Any = np.float32


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """A network on the CPU. Safe to call from several threads, which take turns."""

    name: str
    session: Any
    nbytes: int
    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]
    slowest_s: float = SLOWEST_RUN_S
    turn: Lock = field(default_factory=Lock)

    def __call__(self, *given: Picture) -> list[Picture]:
        """The outputs for inputs, which are taken in the file's order.

        Raises:
            NetworkRunError: the network cannot take them, or does not end in time.
        """
        named = {
            socket.name: np.ascontiguousarray(x, dtype=socket.dtype)
            for socket, x in zip(self.inputs, given, strict=True)
        }
        if not self.turn.acquire(timeout=self.slowest_s):
            raise NetworkRunError(self.name, f"others have used it for {self.slowest_s:g} s")
        try:
            outputs = self._run(named)
        finally:
            self.turn.release()
        if not all(map(_numbers, outputs)):
            raise NetworkRunError(self.name, "it gives no numbers")
        return outputs

    def _run(self, named: Mapping[str, Picture]) -> list[Picture]:
        with _ended_after(self.slowest_s) as options:
            try:
                outputs: list[Picture] = self.session.run(None, named, options)
            except Exception as error:  # onnxruntime's own kinds; the file gave the reason
                problem = f"it did not end within {self.slowest_s:g} s"
                if not options.terminate:
                    problem = "its operators do not fit each other, or need too much memory"
                raise NetworkRunError(self.name, problem) from error
        return outputs


def _numbers(output: Any) -> bool:
    """Whether an output is what it is taken for: the file may give texts, lists or one number."""
    return isinstance(output, np.ndarray) and output.ndim > 0 and output.dtype.kind in NUMBERS


def _onnxruntime() -> Any:
    """Imported with the first network: most processes open none."""
    import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415

    return onnxruntime


@contextmanager
def _ended_after(seconds: float) -> Iterator[Any]:
    options = _onnxruntime().RunOptions()
    options.log_severity_level = QUIET
    options.add_run_config_entry(*SHRINK)
    timer = Timer(seconds, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


@cache
def _bounded_memory() -> None:
    """One arena for all sessions of the process, which is onnxruntime's only way to bound them."""
    ort = _onnxruntime()
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    arena = ort.OrtArenaCfg({"max_mem": MOST_MEMORY_BYTES, "arena_extend_strategy": SIZE_AS_ASKED})
    with suppress(RuntimeError):  # another part of the process has registered one
        ort.create_and_register_allocator(memory, arena)


def build_onnx(file: AnnotatorFile) -> OnnxNetwork:
    """The network of a file.

    Raises:
        ValueError: the file is damaged, or not one that is run here.
    """
    read_onnx(file.path)
    _bounded_memory()
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = QUIET
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.use_env_allocators", "1")
    # What is constant is computed in each run then, under its deadline and within its memory.
    options.add_session_config_entry("optimization.disable_specified_optimizers", FOLDING)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds
        problem = "onnxruntime refuses it: it is damaged, or has operators that it does not know"
        raise BadHeaderError(problem) from error
    return OnnxNetwork(
        file.path.name,
        session,
        file.path.stat().st_size,
        tuple(map(_socket, session.get_inputs())),
        tuple(map(_socket, session.get_outputs())),
    )


def _socket(said: Any) -> Socket:
    shape = tuple(side if type(side) is int else None for side in said.shape)
    return Socket(said.name, shape, DTYPES.get(said.type, np.float32))
