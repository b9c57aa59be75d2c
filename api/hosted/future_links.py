"""The URLs that the outputs of a queued job will have."""

from storage.outputs import OutputStore, StoredOutput


def future_links(
    outputs: OutputStore, owner: str, job_id: int, *, prefix: str, count: int, base_url: str
) -> list[str]:
    """The URLs of the first `count` pictures that a job's SaveImage node will save."""
    return [
        outputs.url(owner, job_id, _to_come(f"{prefix}_{k:05}_.png"), base_url)
        for k in range(1, count + 1)
    ]


def _to_come(name: str) -> StoredOutput:
    """A picture that is known by its name alone."""
    return StoredOutput(
        node_id="",
        type="image",
        mime_type="image/png",
        width=None,
        height=None,
        temporary=False,
        filename=name,
        subfolder="",
        size=0,
        sha256="",
        expires_at="",
    )
