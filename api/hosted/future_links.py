"""The URLs that the outputs of a queued job will have."""

from mimetypes import guess_type

from storage.outputs import OutputStore, StoredOutput


def future_links(
    outputs: OutputStore,
    owner: str,
    job_id: int,
    *,
    prefix: str,
    ending: str,
    count: int,
    base_url: str,
) -> list[str]:
    """The URLs of the first `count` files that a job's "Save" node will write."""
    return [
        outputs.url(owner, job_id, _to_come(f"{prefix}_{k:05}{ending}"), base_url)
        for k in range(1, count + 1)
    ]


def _to_come(name: str) -> StoredOutput:
    """A file that is known by its name alone."""
    kind = guess_type(name)[0] or "image/png"
    return StoredOutput(
        node_id="",
        type="video" if kind.startswith("video/") else "image",
        mime_type=kind,
        width=None,
        height=None,
        temporary=False,
        filename=name,
        subfolder="",
        size=0,
        sha256="",
        expires_at="",
    )
