"""Progress on standard error: a job's place in the queue and its steps, a file's bytes."""

from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from comfyray.model_files import ModelProgress
from comfyray.results import Event


class Bar:
    """A bar that is gone at the end. Shows nothing where standard error is no terminal."""

    def __init__(self, desc: str, **how: Any) -> None:
        self._bar = tqdm(desc=desc, leave=False, disable=None, **how)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()


class FileProgress(Bar):
    """One bar for a file that is sent."""

    def __init__(self, name: str) -> None:
        super().__init__(name, unit="B", unit_scale=True, total=1)

    def __call__(self, progress: ModelProgress) -> None:
        """Show how far it is."""
        self._bar.total = progress.size
        self._bar.update(progress.sent - self._bar.n)


class Progress(Bar):
    """One bar for one job."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"job {job_id}", unit="step", total=1)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.type == "queued":
            ahead, eta = event.data.get("queue_position"), event.data.get("eta")
            soon = f", about {eta:.0f} s" if isinstance(eta, int | float) else ""
            self._bar.set_description(f"queued behind {ahead}{soon}" if ahead else "starting")
        elif event.type == "node" and event.data["state"] == "started":
            self._bar.set_description(str(event.data["class_type"]))
        elif event.type == "progress":
            if self._bar.total != event.data["of"]:
                self._bar.reset(total=event.data["of"])
            self._bar.update(event.data["step"] - self._bar.n)
