import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from graph.errors import ServiceError
from storage.database import Database
from storage.fetch import Fetcher
from storage.files import Files
from storage.inputs import Inputs
from storage.job_outputs import JobOutputs
from storage.jobs.earlier_outputs import EarlierOutputError, EarlierOutputs
from storage.jobs.output_names import OutputNames
from storage.jobs.records import JobRecord, JobRecords
from storage.outputs import OutputLinkError, OutputStore, StoredOutput
from storage.paths import UnsafePathError
from storage.signing import UrlSigner
from storage.uploads import MissingInputError, Place, Uploads, annotated


async def _public(host: str, port: int) -> list[str]:
    return ["93.184.216.34"]


def _page(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, headers={"Content-Type": "image/png"}, content=b"fetched")


class Desk:
    """Inputs with all they read from."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.database = Database(f"sqlite+aiosqlite:///{folder}/jobs.sqlite")
        self.jobs = JobRecords(self.database)
        self.outputs = OutputStore(files, UrlSigner(b"key"))
        earlier = EarlierOutputs(self.jobs, self.outputs, OutputNames(self.database))
        self.uploads = Uploads(files, earlier)
        fetcher = Fetcher(resolve=_public, transport=httpx.MockTransport(_page))
        self.inputs = Inputs(self.uploads, fetcher, earlier)

    async def job(self, owner: str = "me") -> JobRecord:
        """An ended job whose node 4:3 saved two pictures."""
        record = await self.jobs.add(JobRecord(owner))
        files = JobOutputs(self.outputs.job_folder(owner, record.id))
        await files.save_images(np.zeros((2, 2, 2, 3), np.float32), node_id="4:3")
        kept = [output.as_json() for output in files.outputs]
        done = replace(record, status="success", answer={"outputs": kept})
        await self.jobs.end(done)
        return done


@pytest.fixture
async def desk(tmp_path: Path, any_files: Files) -> AsyncIterator[Desk]:
    opened = Desk(tmp_path, any_files)
    await opened.database.open()
    yield opened
    await opened.database.close()


async def test_an_upload_is_read_with_its_hash(desk: Desk) -> None:
    await desk.uploads.save("me", Place("a.png"), b"uploaded")
    file = await desk.inputs.read("me", "a.png")
    assert (file.name, file.content) == ("a.png", b"uploaded")
    assert file.sha256 == hashlib.sha256(b"uploaded").hexdigest()


async def test_an_upload_is_its_owners_alone(desk: Desk) -> None:
    await desk.uploads.save("me", Place("a.png"), b"uploaded")
    with pytest.raises(MissingInputError):
        await desk.inputs.read("you", "a.png")


@pytest.mark.parametrize("value", ["../a.png", "/a.png", "", "a\0.png", "x.png [output]", "sub"])
async def test_what_is_not_there_is_missing(desk: Desk, value: str) -> None:
    await desk.uploads.save("me", Place("a.png", "sub"), b"uploaded")
    with pytest.raises(MissingInputError):
        await desk.inputs.read("me", value)


async def test_an_annotated_name_is_read_from_that_folder(desk: Desk) -> None:
    await desk.uploads.save("me", Place("a.png", "", "temp"), b"temporary")
    assert (await desk.inputs.read("me", "a.png [temp]")).content == b"temporary"
    with pytest.raises(MissingInputError):
        await desk.inputs.read("me", "a.png")


async def test_an_annotated_output_is_the_newest_jobs_or_the_named_ones(desk: Desk) -> None:
    job = await desk.job()
    newest = await desk.inputs.read("me", "ComfyUI_00001_.png [output]")
    named = await desk.inputs.read("me", f"{job.id}/ComfyUI_00001_.png [output]")
    assert newest.content == named.content


async def test_urls_and_data_uris_are_read(desk: Desk) -> None:
    file = await desk.inputs.read("me", "HTTPS://a.example/p/x.png?y=1")
    assert (file.name, file.content) == ("x.png", b"fetched")
    assert (await desk.inputs.read("me", "data:image/png;base64,eA==")).content == b"x"


async def test_an_earlier_output_is_read(desk: Desk) -> None:
    job = await desk.job()
    file = await desk.inputs.read("me", f"job:{job.id}/4:3/1")
    assert file.name == "ComfyUI_00002_.png"
    assert job.answer is not None
    assert file.sha256 == job.answer["outputs"][1]["sha256"]


@pytest.mark.parametrize("host", ["http://127.0.0.1:8000", "https://pictures.example", ""])
async def test_a_url_from_an_answer_is_read_without_fetching(desk: Desk, host: str) -> None:
    job = await desk.job()
    assert job.answer is not None
    output = StoredOutput.from_json(job.answer["outputs"][1])
    url = desk.outputs.url("me", job.id, output, host)
    assert (await desk.inputs.read("me", url)).sha256 == output.sha256


async def test_a_forged_url_of_ours_is_fetched_like_any_other(desk: Desk) -> None:
    job = await desk.job()
    path = f"/outputs/me/{job.id}/output/ComfyUI_00001_.png?expires=99999999999&signature=00"
    assert (await desk.inputs.read("me", "https://a.example" + path)).content == b"fetched"
    with pytest.raises(OutputLinkError):
        await desk.inputs.read("me", path)


@pytest.mark.parametrize("rest", ["4:3/2", "9/0", "4:3", "", "4:3/-1", "4:3/x", "/0"])
async def test_an_output_that_is_not_there_is_said_so(desk: Desk, rest: str) -> None:
    job = await desk.job()
    with pytest.raises(EarlierOutputError):
        await desk.inputs.read("me", f"job:{job.id}/{rest}")


async def test_an_earlier_output_is_its_owners_alone(desk: Desk) -> None:
    theirs = await desk.job("you")
    with pytest.raises(EarlierOutputError):
        await desk.inputs.read("me", f"job:{theirs.id}/4:3/0")


async def test_files_at_the_top_are_listed(desk: Desk) -> None:
    for name in ("b.png", "a.WEBP", "clip.mp4"):
        await desk.uploads.save("me", Place(name), b"x")
    await desk.uploads.save("me", Place("c.png", "sub"), b"x")
    assert await desk.inputs.list("me") == ("a.WEBP", "b.png", "clip.mp4")
    assert await desk.inputs.list("you") == ()


@pytest.mark.parametrize("owner", ["../you", "", "a/b", "."])
async def test_an_owner_is_never_a_path(desk: Desk, owner: str) -> None:
    with pytest.raises(ServiceError):
        await desk.uploads.save(owner, Place("a.png"), b"x")
    with pytest.raises(UnsafePathError):
        desk.outputs.job_folder(owner, 1)


@pytest.mark.parametrize(
    ("value", "split"),
    [
        ("a.png", ("a.png", "input")),
        ("a b.png [output]", ("a b.png", "output")),
        ("a.png[temp]", ("a.png", "temp")),
        ("a [x].png", ("a [x].png", "input")),
    ],
)
def test_a_name_may_say_its_folder(value: str, split: tuple[str, str]) -> None:
    assert annotated(value) == split
