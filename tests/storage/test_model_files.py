import os
import time
from pathlib import Path

import pytest

from graph.errors import MissingModelFile
from graph.values import ModelFile
from storage.models.files import ModelFolders


def _put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")


def test_files_of_a_folder_come_sorted_with_subfolders_and_without_others(tmp_path: Path) -> None:
    _put(
        tmp_path, *(f"loras/{name}" for name in ("b.pt", "a/z.safetensors", "B.ckpt", "notes.txt"))
    )
    assert ModelFolders(tmp_path).list("loras") == ("B.ckpt", "a/z.safetensors", "b.pt")


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (("clip", "text_encoders"), ("clip", "text_encoders")),
        (("unet", "diffusion_models"), ("unet", "diffusion_models")),
        (("controlnet",), ("controlnet", "t2i_adapter")),
    ],
)
def test_folders_that_comfyui_joins_are_one(
    tmp_path: Path, names: tuple[str, ...], folders: tuple[str, ...]
) -> None:
    _put(tmp_path, *(f"{folder}/{k}.safetensors" for k, folder in enumerate(folders)))
    for name in names:
        assert ModelFolders(tmp_path).list(name) == ("0.safetensors", "1.safetensors")


def test_both_names_of_a_folder_describe_one_file(tmp_path: Path) -> None:
    _put(tmp_path, "clip/x.safetensors")
    folders = ModelFolders(tmp_path)
    assert folders.find("clip", "x.safetensors") == folders.find("text_encoders", "x.safetensors")


def test_gguf_files_are_listed_by_their_own_loaders_alone(tmp_path: Path) -> None:
    _put(tmp_path, "unet/q4.gguf", "diffusion_models/m.safetensors", "clip/t5.gguf", "clip/l.pt")
    folders = ModelFolders(tmp_path)
    assert folders.list("diffusion_models") == ("m.safetensors",)
    assert folders.list("unet_gguf") == ("q4.gguf",)
    assert folders.list("clip") == ("l.pt",)
    assert folders.list("clip_gguf") == ("l.pt", "t5.gguf")
    file = folders.find("unet_gguf", "q4.gguf")
    assert file.folder == "diffusion_models"
    assert folders.path(file) == tmp_path / "unet/q4.gguf"


def test_a_new_file_is_seen_and_a_removed_one_forgotten(tmp_path: Path) -> None:
    folders = ModelFolders(tmp_path)
    assert folders.list("vae") == ()
    _put(tmp_path, "vae/a.pt")
    assert folders.list("vae") == ("a.pt",)
    _put(tmp_path, "vae/sub/b.pt")
    assert folders.list("vae") == ("a.pt", "sub/b.pt")
    _put(tmp_path, "vae/sub/c.pt")
    (tmp_path / "vae/a.pt").unlink()
    assert folders.list("vae") == ("sub/b.pt", "sub/c.pt")


def _aged(directory: Path, seconds: float) -> int:
    """Give a directory the time that it would have after so many seconds of quiet."""
    time_ns = time.time_ns() - int(seconds * 10**9)
    os.utime(directory, ns=(time_ns, time_ns))
    return time_ns


def test_files_that_come_and_go_within_one_tick_of_the_clock_are_seen(tmp_path: Path) -> None:
    folders, vae = ModelFolders(tmp_path), tmp_path / "vae"
    _put(tmp_path, "vae/a.pt")
    time_ns = _aged(vae, 0)
    assert folders.list("vae") == ("a.pt",)
    _put(tmp_path, "vae/b.pt")
    os.utime(vae, ns=(time_ns, time_ns))  # as coarse clocks leave it
    assert folders.list("vae") == ("a.pt", "b.pt")
    (vae / "a.pt").unlink()
    os.utime(vae, ns=(time_ns, time_ns))
    assert folders.list("vae") == ("b.pt",)


@pytest.mark.parametrize("seconds", [60, -3600])
def test_a_folder_that_did_not_change_is_not_walked_again(tmp_path: Path, seconds: float) -> None:
    folders, vae = ModelFolders(tmp_path), tmp_path / "vae"
    _put(tmp_path, "vae/a.pt")
    time_ns = _aged(vae, seconds)
    folders.list("vae")
    _put(tmp_path, "vae/b.pt")
    os.utime(vae, ns=(time_ns, time_ns))  # only a walk would find it
    assert folders.list("vae") == ("a.pt",)


def test_a_file_that_goes_while_it_is_looked_at_is_missing(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "a.pt").symlink_to(tmp_path / "gone.pt")
    folders = ModelFolders(tmp_path)
    assert folders.list("vae") == ("a.pt",)
    with pytest.raises(MissingModelFile):
        folders.find("vae", "a.pt")


def test_a_stamp_changes_with_the_content(tmp_path: Path) -> None:
    _put(tmp_path, "vae/a.pt")
    folders = ModelFolders(tmp_path)
    before = folders.find("vae", "a.pt")
    (tmp_path / "vae/a.pt").write_bytes(b"other weights")
    assert folders.find("vae", "a.pt").stamp != before.stamp


def test_a_file_is_where_its_description_says(tmp_path: Path) -> None:
    _put(tmp_path, "unet/a/b.safetensors")
    folders = ModelFolders(tmp_path)
    file = folders.find("diffusion_models", "a/b.safetensors")
    assert folders.path(file) == tmp_path / "unet/a/b.safetensors"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("vae", "../secret.pt"),
        ("vae", "/etc/secret.pt"),
        ("vae", "a/../../secret.pt"),
        ("..", "secret.pt"),
        ("", "secret.pt"),
        ("vae/..", "secret.pt"),
        ("vae", "b.pt"),
        ("vae", ""),
        ("vae", "a.txt"),
        ("vae", "a\0.pt"),
    ],
)
def test_nothing_outside_the_folder_is_found(tmp_path: Path, folder: str, name: str) -> None:
    _put(tmp_path, "models/vae/a.pt", "models/vae/a.txt", "models/secret.pt", "secret.pt")
    folders = ModelFolders(tmp_path / "models")
    with pytest.raises(MissingModelFile):
        folders.find(folder, name)
    with pytest.raises(MissingModelFile):
        folders.path(ModelFile(folder, name))


def test_links_are_followed_as_comfyui_does_unless_that_is_off(tmp_path: Path) -> None:
    _put(tmp_path, "disk/a.pt", "models/vae/b.pt")
    (tmp_path / "models/vae/more").symlink_to(tmp_path / "disk")
    (tmp_path / "models/vae/again").symlink_to(tmp_path / "models/vae")
    assert ModelFolders(tmp_path / "models").list("vae") == ("b.pt", "more/a.pt")
    strict = ModelFolders(tmp_path / "models", follow_links=False)
    assert strict.list("vae") == ("b.pt",)
    with pytest.raises(MissingModelFile):
        strict.find("vae", "more/a.pt")
