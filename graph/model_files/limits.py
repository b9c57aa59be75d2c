"""Limits on model file headers, and the error for an invalid header."""

from dataclasses import dataclass


class BadHeaderError(ValueError):
    """Says, in words of our own, what is wrong with a file that should be a model file."""


@dataclass(frozen=True)
class HeaderLimits:
    """Bounds on a header. The defaults are several times what the largest public models need.

    `tensors`: of one file (the most found in public: about 6,000, in an 80 B mixture of experts).
    `header_bytes`: of a safetensors header or of a pickle; kohya's training metadata has 1 to 2 MB.
    """

    tensors: int = 20_000
    header_bytes: int = 8 * 2**20
    name_chars: int = 512
    dims: int = 8
    elements: int = 2**48  # of one tensor

    def check_name(self, name: str) -> None:
        """Refuse a tensor's name that is too long, or that could not be shown.

        Raises:
            BadHeaderError: it is.
        """
        if len(name) > self.name_chars:
            problem = f"a tensor's name has {len(name)} characters; the limit is {self.name_chars}"
            raise BadHeaderError(problem)
        if not name.isprintable():
            problem = f"the tensor name {name[:40]!a} has characters that cannot be shown"
            raise BadHeaderError(problem)

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse a shape that no tensor can have. `shape` holds whole numbers from 0.

        Raises:
            BadHeaderError: it has too many sides, or too many elements.
        """
        if len(shape) > self.dims:
            problem = f"tensor {name!r} has {len(shape)} dimensions; the limit is {self.dims}"
            raise BadHeaderError(problem)
        elements = 1
        for side in shape:
            elements *= max(side, 1)
            if elements > self.elements:
                problem = f"tensor {name!r} has a shape that no tensor can have"
                raise BadHeaderError(problem)

    def check_count(self, count: int) -> None:
        """Refuse a file of too many tensors.

        Raises:
            BadHeaderError: it has more than the limit.
        """
        if count > self.tensors:
            problem = f"it has {count} tensors; the limit is {self.tensors}"
            raise BadHeaderError(problem)
