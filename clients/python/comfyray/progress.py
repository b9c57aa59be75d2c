"""A job's progress on standard error: its place in the queue, then one bar of steps."""

from types import TracebackType

from tqdm import tqdm

from comfyray.results import Event


class Progress:
    """One bar for one job. Shows nothing where standard error is no terminal."""

    def __init__(self, job_id: int) -> None:
        self._bar = tqdm(desc=f"job {job_id}", unit="step", leave=False, disable=None, total=1)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

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
