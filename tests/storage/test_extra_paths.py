"""extra_model_paths.yaml: what ComfyUI's owners have is found where ComfyUI finds it."""

from pathlib import Path

import pytest

from storage.models.extra_paths import ExtraPathsError, read_extra_paths
from storage.models.files import ModelFolders
from storage.models.library import ModelLibrary


def _written(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def _folders(tmp_path: Path, text: str) -> ModelFolders:
    file = tmp_path / "extra_model_paths.yaml"
    file.write_text(text)
    return ModelLibrary(tmp_path / "models", tmp_path / "private", read_extra_paths(f"{file}"))


def test_several_sections_and_several_folders_a_kind(tmp_path: Path) -> None:
    _written(tmp_path / "models/loras", "own.safetensors")
    _written(tmp_path / "a1111/models", "Lora/one.safetensors", "LyCORIS/sub/two.safetensors")
    _written(tmp_path / "elsewhere", "three.safetensors")
    folders = _folders(
        tmp_path,
        f"""
a111:
    base_path: a1111
    loras: |
        models/Lora
        models/LyCORIS
comfyui:
    loras: {tmp_path}/elsewhere
nothing:
""",
    )
    names = ("one.safetensors", "own.safetensors", "sub/two.safetensors", "three.safetensors")
    assert folders.list("loras") == tuple(sorted(names))
    two = folders.path(folders.find("loras", "sub/two.safetensors"))
    assert two == tmp_path / "a1111/models/LyCORIS/sub/two.safetensors"


@pytest.mark.parametrize(("is_default", "found"), [("true", "theirs"), ("false", "models")])
def test_a_default_section_is_searched_first(tmp_path: Path, is_default: str, found: str) -> None:
    _written(tmp_path / "models/vae", "same.pt")
    _written(tmp_path / "theirs/vae", "same.pt")
    text = f"them:\n  base_path: {tmp_path}/theirs\n  is_default: {is_default}\n  vae: vae/\n"
    folders = _folders(tmp_path, text)
    assert folders.list("vae") == ("same.pt",)
    assert folders.path(folders.find("vae", "same.pt")) == tmp_path / found / "vae/same.pt"


def test_older_names_of_kinds_are_the_same_kinds(tmp_path: Path) -> None:
    _written(tmp_path / "x", "unet/flux.safetensors", "clip/t5.safetensors")
    folders = _folders(tmp_path, "them:\n  base_path: x\n  unet: unet\n  clip: clip\n")
    assert folders.list("diffusion_models") == folders.list("unet") == ("flux.safetensors",)
    assert folders.list("text_encoders") == folders.list("clip") == ("t5.safetensors",)


def test_a_new_file_is_seen_and_variables_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEIR_MODELS", str(tmp_path / "there"))
    folders = _folders(tmp_path, "them:\n  base_path: $THEIR_MODELS\n  vae: vae\n")
    assert folders.list("vae") == ()
    _written(tmp_path / "there/vae", "new.pt")
    assert folders.list("vae") == ("new.pt",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "is not YAML"),
        ("- a", "expected sections, got list"),
        ("a: 3", "section 'a' must map kinds"),
        ("a:\n  vae: [x, y]", "a.vae must be text, one folder a line"),
        ("a:\n  base_path: 3\n  vae: x", "a.base_path must be text"),
    ],
)
def test_a_wrong_file_is_said_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ExtraPathsError, match=r"extra_model_paths\.yaml") as refused:
        _folders(tmp_path, text)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ExtraPathsError, match="No such file"):
        read_extra_paths(str(tmp_path / "none.yaml"))
