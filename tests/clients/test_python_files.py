"""Files on the client's side: workflows read, files sent, results kept."""

import io
import json
from pathlib import Path

import httpx
import pytest
from comfyray import Client, Output
from comfyray.files import create, document, is_file, sendable
from PIL import Image, PngImagePlugin

WORKFLOW = {"1": {"class_type": "EmptyImage", "inputs": {}}}


def output(filename: str, subfolder: str = "", content: bytes = b"x") -> Output:
    return Output("9", "image", filename, "image/png", "", content, subfolder=subfolder)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    saved = [output("a_00001_.png", content=b"%d" % k).save(tmp_path) for k in range(3)]
    assert [path.name for path in saved] == ["a_00001_.png", "a_00002_.png", "a_00003_.png"]
    assert [path.read_bytes() for path in saved] == [b"0", b"1", b"2"]
    assert [output("x.png").save(tmp_path).name for _ in range(2)] == ["x.png", "x (2).png"]


@pytest.mark.parametrize(
    ("subfolder", "inside"),
    [("a/b", "a/b"), ("", "."), ("../..", "."), ("/etc", "etc"), ("a/../b", "a/b")],
)
def test_sub_folders_are_kept_and_lead_nowhere_else(
    tmp_path: Path, subfolder: str, inside: str
) -> None:
    assert output("x.png", subfolder).save(tmp_path).parent == (tmp_path / inside).resolve()


@pytest.mark.parametrize("name", ["../../x.png", "..\\x.png", "/x.png", ""])
def test_a_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with create(tmp_path, name) as file:
        assert Path(file.name).parent == tmp_path


@pytest.mark.parametrize("compressed", [False, True])
def test_a_picture_with_a_workflow_is_a_workflow(tmp_path: Path, compressed: bool) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", json.dumps(WORKFLOW))
    texts.add_itxt("workflow", '{"nodes": ["ä"]}', zip=compressed)
    path = tmp_path / "x.png"
    Image.new("RGB", (4, 4)).save(path, pnginfo=texts)
    assert document(path) == '{"nodes": ["ä"]}'
    assert document(str(path)) == '{"nodes": ["ä"]}'


def test_text_is_json_or_the_path_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text(json.dumps(WORKFLOW))
    assert json.loads(document(str(path))) == WORKFLOW
    assert json.loads(document(json.dumps(WORKFLOW))) == WORKFLOW
    with pytest.raises(FileNotFoundError):
        document("nowhere.json")
    picture = tmp_path / "plain.png"
    Image.new("RGB", (4, 4)).save(picture)
    with pytest.raises(ValueError, match="without a workflow"):
        document(picture)


def test_pictures_and_open_files_are_sent(tmp_path: Path) -> None:
    name, content = sendable(Image.new("RGB", (3, 2)))
    assert name.endswith(".png")
    assert Image.open(io.BytesIO(content)).size == (3, 2)
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"video")
    with path.open("rb") as file:
        assert sendable(file) == ("clip.mp4", b"video")
    assert is_file(io.BytesIO(b"x"))
    assert not is_file("text")


def test_an_output_is_downloaded_piece_by_piece(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"0123456789" * 1000)

    entry = {"url": "/outputs/x", "filename": "x_00001_.png", "subfolder": "a"}
    with Client("http://service.test", transport=httpx.MockTransport(answer)) as client:
        path = client.save(entry, tmp_path)
    assert path == tmp_path / "a" / "x_00001_.png"
    assert path.stat().st_size == 10_000


def test_a_url_without_a_scheme_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="write http://"):
        Client("127.0.0.1:8000")
