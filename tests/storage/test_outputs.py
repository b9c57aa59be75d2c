import io
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graph.file_prefix import expand_prefix
from storage.disk_quota import DiskQuotaError
from storage.files import Files
from storage.job_outputs import JobOutputs
from storage.local_files import LocalFiles
from storage.output_names import NameCounter, split_prefix
from storage.outputs import (
    MissingOutputError,
    OutputLinkError,
    OutputStore,
    StoredOutput,
)
from storage.paths import UnsafePathError, inside
from storage.pictures import Encoding, encode_picture, to_bytes_per_channel
from storage.signing import UrlSigner, load_key

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
GREY = np.full((2, 4, 6, 3), 0.5, np.float32)


@pytest.fixture
def store(any_files: Files) -> OutputStore:
    return OutputStore(any_files, UrlSigner(b"key"))


def _outputs(store: OutputStore, encoding: Encoding | None = None) -> JobOutputs:
    return JobOutputs(store.job_folder("local", 7), encoding)


def test_values_are_cut_off_and_not_rounded() -> None:
    image = np.array([[[-0.1, 0.0, 0.00391], [0.999, 1.0, 7.0]]], np.float32)
    assert to_bytes_per_channel(image).tolist() == [[[0, 0, 0], [254, 255, 255]]]


def test_nan_is_black() -> None:
    assert to_bytes_per_channel(np.full((1, 1, 3), np.nan, np.float32)).max() == 0


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_a_png_has_as_many_channels_as_the_image(channels: int, mode: str) -> None:
    content = encode_picture(np.zeros((2, 3, channels), np.float32), Encoding())
    assert Image.open(io.BytesIO(content)).mode == mode


@pytest.mark.parametrize("format_", ["jpeg", "webp"])
def test_quality_makes_files_smaller(format_: str) -> None:
    noise = np.random.default_rng(0).random((64, 64, 4), np.float32)
    low, high = (len(encode_picture(noise, Encoding(format_, quality))) for quality in (10, 95))  # type: ignore[arg-type]
    assert low < high


def test_text_that_is_not_latin_survives_in_a_png() -> None:
    content = encode_picture(GREY[0], Encoding(text={"prompt": "灯塔", "workflow": "{}"}))
    info = Image.open(io.BytesIO(content)).info
    assert (info["prompt"], info["workflow"]) == ("灯塔", "{}")


async def test_names_count_from_one_for_each_prefix() -> None:
    counter = NameCounter()
    assert await counter.take("output", "a", 2, ".png") == ["a_00001_.png", "a_00002_.png"]
    assert await counter.take("output", "b", 1, ".png") == ["b_00001_.png"]
    assert await counter.take("output", "a", 1, ".webp") == ["a_00003_.webp"]


async def test_a_prefix_may_name_the_place_in_the_batch() -> None:
    assert await NameCounter().take("output", "x%batch_num%", 2, ".png") == [
        "x0_00001_.png",
        "x1_00002_.png",
    ]


@pytest.mark.parametrize(
    ("prefix", "expanded"),
    [
        ("%width%x%height%", "6x4"),
        ("%year%-%month%-%day%", "2026-03-04"),
        ("%hour%%minute%%second%", "050607"),
        ("%date:yyyy-MM-dd%/%date:hhmmss%", "2026-03-04/050607"),
        ("%date:d.M.yy h:m:s%", "4.3.26 5:6:7"),
        ("%date%", "2026-03-04"),
        ("100%", "100%"),
        ("%KSampler.seed%", "%KSampler.seed%"),
    ],
)
def test_variables_of_a_prefix_are_filled_in(prefix: str, expanded: str) -> None:
    assert expand_prefix(prefix, width=6, height=4, now=NOW) == expanded


@pytest.mark.parametrize("prefix", ["../x", "/x", "a/../../x", "", "a\nb", "é" * 101])
def test_a_prefix_that_leads_out_is_refused(prefix: str) -> None:
    with pytest.raises(UnsafePathError):
        split_prefix(prefix)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path)
    with pytest.raises(UnsafePathError):
        inside(tmp_path / "in", "link/x")


async def test_a_batch_is_saved_and_described(store: OutputStore) -> None:
    outputs = _outputs(store)
    first, second = await outputs.save_images(GREY, "sub/x", node_id="9")
    assert (first.filename, second.filename) == ("x_00001_.png", "x_00002_.png")
    assert (first.subfolder, first.width, first.height) == ("sub", 6, 4)
    assert store.find("local", 7, first.location).size == first.size


async def test_outputs_are_sorted_by_node_number(store: OutputStore) -> None:
    outputs = _outputs(store)
    for node_id in ("10", "4:12", "9", "4:3", "x"):
        await outputs.save_images(GREY[:1], node_id=node_id)
    await outputs.save_images(GREY[:1], node_id="1", temporary=True)
    assert [one.node_id for one in outputs.outputs] == ["4:3", "4:12", "9", "10", "x", "1"]


async def test_previews_get_names_of_their_own(store: OutputStore) -> None:
    (preview,) = await _outputs(store).save_images(GREY[:1], node_id="1", temporary=True)
    assert preview.filename.startswith("ComfyUI_temp_")
    assert preview.location.startswith("temp/")


async def test_who_listens_hears_of_each_file_when_it_can_be_read(store: OutputStore) -> None:
    heard: list[bool] = []
    outputs = JobOutputs(
        store.job_folder("local", 7),
        stored=lambda one: heard.append(store.find("local", 7, one.location).size == one.size),
    )
    await outputs.save_images(GREY, node_id="9")
    assert heard == [True, True]


async def test_other_files_are_saved_too(store: OutputStore) -> None:
    saved = await _outputs(store).save_file(b"x", "video/a", ".mp4", node_id="3")
    assert (saved.type, saved.mime_type, saved.filename) == ("video", "video/mp4", "a_00001_.mp4")
    assert store.read("local", 7, saved.location) == b"x"


async def test_nothing_partial_is_left_behind(store: OutputStore) -> None:
    await _outputs(store).save_images(GREY, node_id="9")
    assert len(list(store.files.list(""))) == 2


@pytest.mark.parametrize("location", ["../8/output/x.png", "/etc/passwd", "output/none.png", ""])
async def test_only_outputs_are_found(store: OutputStore, location: str) -> None:
    with pytest.raises(MissingOutputError):
        store.find("local", 7, location)


@pytest.mark.folder
async def test_a_signed_url_leads_to_its_file_alone(files: Files) -> None:
    store = OutputStore(files, UrlSigner(b"key"))
    (saved,) = await _outputs(store).save_images(GREY[:1], node_id="9")
    path, _, query = store.url("local", 7, saved).removeprefix("/outputs/").partition("?")
    fields = dict(part.split("=") for part in query.split("&"))
    expires, signature = int(fields["expires"]), fields["signature"]
    assert store.signed(path, expires, signature).size == saved.size
    for wrong in [(path + "x", expires, signature), (path, expires + 1, signature)]:
        with pytest.raises(OutputLinkError):
            store.signed(*wrong)


def test_a_signature_expires_and_is_the_same_for_a_while() -> None:
    signer = UrlSigner(b"key", valid_s=100, round_s=10)
    query = signer.query("a", 1000)
    assert query == signer.query("a", 999)
    signature = query.rpartition("=")[2]
    assert signer.holds("a", 1100, signature, now_s=1100)
    assert not signer.holds("a", 1100, signature, now_s=1101)
    assert not UrlSigner(b"other").holds("a", 1100, signature, now_s=1000)


def test_a_signature_of_odd_letters_is_wrong_and_not_a_fault() -> None:
    assert not UrlSigner(b"key").holds("a", 2000, "é", now_s=1000)


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    key = load_key(tmp_path / "data/key")
    assert len(key) == 32
    assert load_key(tmp_path / "data/key") == key
    assert (tmp_path / "data/key").stat().st_mode & 0o777 == 0o600
    assert len(list((tmp_path / "data").iterdir())) == 1


async def test_the_sweep_takes_what_is_over_its_time(tmp_path: Path) -> None:
    store = OutputStore(LocalFiles(tmp_path), UrlSigner(b"key"), retention_s=100)
    for job_id in (1, 2):
        outputs = JobOutputs(store.job_folder("local", job_id))
        await outputs.save_images(GREY[:1], node_id="9")
    left = tmp_path / "outputs/local/1/output/.1-00.part"  # of a process that was killed
    left.touch()
    for path in left.parent.iterdir():
        os.utime(path, (0, 0))
    assert store.sweep() == 2
    assert [path.name for path in (tmp_path / "outputs/local").iterdir()] == ["2"]


async def test_a_sweep_of_everything_leaves_nothing(any_files: Files) -> None:
    store = OutputStore(any_files, UrlSigner(b"key"), retention_s=-60)
    await _outputs(store).save_images(GREY, node_id="9")
    assert store.sweep() == 2
    assert list(any_files.list("outputs/")) == []


async def test_a_jobs_outputs_can_be_removed_alone(store: OutputStore) -> None:
    (saved,) = await _outputs(store).save_images(GREY[:1], node_id="9")
    other = JobOutputs(store.job_folder("local", 71))
    await other.save_images(GREY[:1], node_id="9")
    await store.remove("local", 7)
    with pytest.raises(MissingOutputError):
        store.find("local", 7, saved.location)
    assert store.find("local", 71, saved.location).size == saved.size


async def test_a_node_that_runs_again_saves_in_place(store: OutputStore) -> None:
    for _ in range(2):  # another replica takes the job up
        outputs = _outputs(store)
        await outputs.save_images(GREY, node_id="9")
        await outputs.save_images(GREY, node_id="8", temporary=True)
    assert len(list(store.files.list("outputs/"))) == 4


class RoomForOne:
    """A disk on which one file fits."""

    def __init__(self) -> None:
        self.taken = 0

    async def take(self, owner: str, size: int) -> None:
        if self.taken:
            raise DiskQuotaError(self.taken, self.taken, size)
        self.taken += size

    async def give_back(self, owner: str, size: int) -> None:
        self.taken -= size


async def test_of_a_batch_that_does_not_fit_whole_pictures_are_stored(any_files: Files) -> None:
    disk = RoomForOne()
    told: list[StoredOutput] = []
    store = OutputStore(any_files, UrlSigner(b"key"), disk=disk)
    outputs = JobOutputs(store.job_folder("local", 7), stored=told.append)
    with pytest.raises(DiskQuotaError):
        await outputs.save_images(np.zeros((2, 4, 4, 3), np.float32), node_id="9")
    (stored,) = any_files.list("outputs/")
    assert outputs.outputs == tuple(told)
    assert stored.size == disk.taken == told[0].size
    await store.remove("local", 7)
    assert disk.taken == 0
