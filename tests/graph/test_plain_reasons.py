"""Nothing of Python or torch is told to a caller, and what is plain stays."""

import pickle

import pytest

from graph.plain_reasons import OUT_OF_MEMORY, UNEXPECTED, plain_reason


@pytest.mark.parametrize(
    "error",
    [
        TypeError("unsupported operand type(s) for +: 'NoneType' and 'int'"),
        AttributeError("'dict' object has no attribute 'shape'"),
        KeyError("samples"),
        TypeError("f() got an unexpected keyword argument 'x'"),
        ValueError("not enough values to unpack (expected 4, got 3)"),
        RuntimeError("Expected all tensors to be on the same device, found at least two devices"),
        pickle.UnpicklingError("Weights only load failed. Re-run `torch.load` with weights_only"),
        ValueError(""),
    ],
)
def test_the_words_of_libraries_are_left_out(error: Exception) -> None:
    assert plain_reason(error) == UNEXPECTED


def test_sizes_that_do_not_fit_are_said() -> None:
    text = "The size of tensor a (64) must match the size of tensor b (32) at dimension 3"
    assert "64 and 32" in plain_reason(RuntimeError(text))
    assert "tensor" not in plain_reason(RuntimeError(text))


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate; set PYTORCH_")]
)
def test_a_lack_of_memory_is_said(error: Exception) -> None:
    assert plain_reason(error) == OUT_OF_MEMORY


def test_a_plain_reason_stays_in_one_line_and_short() -> None:
    assert plain_reason(ValueError("the mask is empty.\nmore")) == "the mask is empty"
    assert len(plain_reason(ValueError("x" * 10_000))) < 400
