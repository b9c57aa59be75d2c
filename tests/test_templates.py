"""The command that lists which official templates run."""

import json
from pathlib import Path

from benchmarks.stand_ins import STAND_INS, stand_in
from benchmarks.templates import FAILS, FAMILY, NODE, RUNS, judged

TEMPLATE = Path(__file__).parent / "data" / "templates" / "flux_dev_split.json"


def test_a_template_is_judged_by_what_it_lacks() -> None:
    text = TEMPLATE.read_text("utf-8")
    assert judged("whole", json.loads(text)).status == RUNS
    other = judged("other", json.loads(text.replace("flux1-dev", "hidream_i1")))
    assert (other.status, other.missing) == (FAMILY, ("HiDream",))
    unknown = judged("unknown", json.loads(text.replace('"VAEDecode"', '"VAEDecodeAudio"')))
    assert (unknown.status, unknown.missing) == (NODE, ("VAEDecodeAudio",))
    device = text.replace('"flux",\n    "default"', '"flux",\n    "toaster"')
    fails = judged("fails", json.loads(device))
    assert fails.status == FAILS
    assert "toaster" in " ".join(fails.missing)


def test_a_small_file_stands_in_for_a_name(tmp_path: Path) -> None:
    file = tmp_path / "vae" / "parity_ae.safetensors"
    file.parent.mkdir()
    file.touch()
    assert stand_in("vae", "AE.safetensors", [tmp_path]) == file
    assert stand_in("vae", "wan_2.1_vae.safetensors", [tmp_path]) is None
    assert len({pattern for pattern, _ in STAND_INS}) == len(STAND_INS)
