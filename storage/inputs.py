"""What LoadImage-like inputs name: an upload, a URL, a data: URI, or an earlier output."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

from graph.errors import ServiceError
from graph.values import InputFile
from storage.fetch import Fetcher
from storage.jobs import SAFE_INTEGERS, JobRecords, MissingJobError
from storage.outputs import MissingOutputError, OutputLinkError, OutputStore, StoredOutput
from storage.uploads import Uploads


@dataclass(eq=False)
class EarlierOutputError(ServiceError):
    """A `job:` reference that leads to no output."""

    status = 422
    code = "output_not_found"
    template = "{reference!r} names no earlier output: {problem}."
    reference: str
    problem: str


class Inputs:
    """Reads whatever an input may name, for one owner at a time."""

    def __init__(
        self, uploads: Uploads, fetcher: Fetcher, jobs: JobRecords, outputs: OutputStore
    ) -> None:
        self._uploads = uploads
        self._fetcher = fetcher
        self._jobs = jobs
        self._outputs = outputs

    async def read(self, owner: str, value: str) -> InputFile:
        """The file that `value` names.

        Raises:
            ServiceError: which of the many things that can be wrong.
        """
        if own := self._own(value):
            return _file(own.name, await asyncio.to_thread(own.read_bytes))
        scheme = value[:8].lower()
        if scheme.startswith(("http://", "https://")):
            name = PurePosixPath(urlsplit(value).path).name or "download"
            return _file(name, await self._fetcher.read(value))
        if scheme.startswith("data:"):
            return _file("data", await asyncio.to_thread(self._fetcher.decode, value))
        if scheme.startswith("job:"):
            return await self._earlier(owner, value)
        return _file(value, await self._uploads.read(owner, value))

    def list(self, owner: str, kind: str = "image") -> list[str]:
        """The uploaded pictures (or "video", "audio"), for the choices of an input."""
        return self._uploads.list(owner, kind)

    def _own(self, value: str) -> Path | None:
        """The file of a signed URL that this service gave out, whatever host it was reached by.

        The signature says that it is ours and may be read, so nothing needs to be fetched.
        """
        url = urlsplit(value) if "/outputs/" in value[:300] else None
        if url is None or not url.path.startswith("/outputs/"):
            return None
        query = dict(parse_qsl(url.query))
        expires, signature = query.get("expires", ""), query.get("signature", "")
        path = unquote(url.path.removeprefix("/outputs/"))
        try:
            return self._outputs.signed_path(path, int(expires), signature)
        except ValueError:  # no number: another site's URL
            return None
        except OutputLinkError:
            if url.scheme:  # perhaps another site's URL
                return None
            raise

    async def _earlier(self, owner: str, reference: str) -> InputFile:
        """`job:<id>/<node_id>/<k>`: the k-th file, from 0, that the node saved."""
        job_id, _, rest = reference.partition(":")[2].partition("/")
        node_id, _, k = rest.rpartition("/")
        if not (job_id.isdecimal() and k.isdecimal() and node_id and len(job_id + k) < 32):
            raise EarlierOutputError(reference[:200], "expected job:<id>/<node_id>/<k>")
        try:
            record = await self._jobs.get(owner, min(int(job_id), SAFE_INTEGERS))
        except MissingJobError as error:
            raise EarlierOutputError(reference[:200], str(error)) from error
        kept = (record.answer or {}).get("outputs", ())
        of_node = [StoredOutput.from_json(one) for one in kept if one["node_id"] == node_id]
        if int(k) >= len(of_node):
            problem = f"the job is {record.status}, its node {node_id} has {len(of_node)} outputs"
            raise EarlierOutputError(reference[:200], problem)
        output = of_node[int(k)]
        try:
            path = self._outputs.path(owner, record.id, output.location)
        except MissingOutputError as error:
            raise EarlierOutputError(reference[:200], "it has expired") from error
        return _file(output.filename, await asyncio.to_thread(path.read_bytes))


def _file(name: str, content: bytes) -> InputFile:
    return InputFile(name, content, hashlib.sha256(content).hexdigest())
