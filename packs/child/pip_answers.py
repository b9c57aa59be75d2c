"""Answers packs that run pip: it tells what is installed, and changes nothing."""

import subprocess
from collections.abc import Sequence
from importlib.metadata import distributions
from typing import Any

TELLING = frozenset({"freeze", "list"})
TEXT = ("text", "universal_newlines", "encoding", "errors")


def install() -> None:
    """Let pip be answered here, instead of being run."""
    usual = subprocess.Popen

    class Popen(usual):  # type: ignore[valid-type, misc]
        """Runs programs, but for pip."""

        def __new__(cls, args: Any, *rest: Any, **how: Any) -> Any:
            del rest
            words = args.split() if isinstance(args, str) else [str(one) for one in args]
            if _is_pip(words):
                return PipAnswer(words, as_text=any(how.get(name) for name in TEXT))
            return usual.__new__(cls)

    subprocess.Popen = Popen  # type: ignore[misc]


def _is_pip(words: Sequence[str]) -> bool:
    names = [word.rpartition("/")[2] for word in words[:1]]
    return names in (["pip"], ["pip3"]) or ("-m" in words and "pip" in words)


class PipAnswer:
    """A process of pip that has ended: it told what is installed, or did not do as it was asked."""

    def __init__(self, words: Sequence[str], *, as_text: bool) -> None:
        self.args = words
        self.pid = 0
        self.stdin = self.stdout = self.stderr = None
        telling = bool(TELLING & set(words))
        self.returncode = 0 if telling else 1
        found = {f"{one.name}=={one.version}" for one in distributions() if one.name}
        said = "\n".join(sorted(found)) + "\n" if telling else ""
        self._said: str | bytes = said if as_text else said.encode()

    def communicate(self, input: Any = None, timeout: Any = None) -> tuple[Any, Any]:
        del input, timeout
        return self._said, self._said[:0]

    def poll(self) -> int:
        return self.returncode

    def wait(self, timeout: Any = None) -> int:
        del timeout
        return self.returncode

    def kill(self) -> None:
        """It has ended."""

    terminate = kill

    def __enter__(self) -> "PipAnswer":
        return self

    def __exit__(self, *_: object) -> None:
        return None
