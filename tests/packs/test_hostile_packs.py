"""Packs that mean harm, or are broken: each is contained, and told by its name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from packs.allowed import check_folder, copy_allowed, found_packs
from packs.confinement.confine import missing
from packs.errors import CallLostError, PackEndedError, PackRefusedError
from packs.process import PackProcess
from packs.processes import PackProcesses
from packs.tree_hash import tree_hash
from tests.packs.hosts import FOLDER, Toy, starting

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(missing()), reason=f"the kernel has no {missing()}"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def toy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Toy]:
    toy = await Toy.start(tmp_path_factory.mktemp("toy"))
    yield toy
    toy.process.end("is not needed any more")


@pytest.mark.parametrize(
    "what",
    [
        "parents_environment", "connect", "unix_socket", "fork", "program", "write_outside",
        "read_outside", "kill_parent",
    ],
)  # fmt: skip
async def test_what_a_pack_need_not_have_is_refused(toy: Toy, what: str) -> None:
    assert await toy.run("ToySteals", what=what) == "PermissionError"


async def test_its_environment_has_nothing_of_ours(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await toy.run("ToySteals", what="environment")
    assert "COMFYRAY" not in said
    assert "TOKEN" not in said
    assert f"HOME={toy.process._how.scratch}" in said


async def test_pip_tells_what_is_there_and_installs_nothing(toy: Toy) -> None:
    assert await toy.run("ToySteals", what="pip_freeze") == "did it: True"
    assert await toy.run("ToySteals", what="pip_install") == "did it: 1"


async def test_memory_has_an_end(toy: Toy) -> None:
    message = await toy.ask("run", "ToySteals", {"what": "memory"})
    assert message.said["type"] == "MemoryError"
    assert await toy.run("ToyPass", value=1) == 1


async def test_a_pack_that_replaces_functions_of_its_process_harms_itself_alone(
    tmp_path: Path,
) -> None:
    toy = await Toy.start(tmp_path / "scratch")
    await toy.run("ToyReplaces")
    message = await toy.ask("describe", "", {})
    assert "error" in message.said
    toy.process.end("is not needed any more")


async def test_a_process_that_hangs_crashes_or_hoards_is_ended_and_started_anew(
    tmp_path: Path,
) -> None:
    processes = PackProcesses(
        starting("toy_pack", tmp_path, memory_bytes=3 * 2**30, scratch_bytes=2**27),
        lambda _: None,  # type: ignore[arg-type, return-value]
    )
    ends = {"hang": "did not answer within", "abort": "SIGABRT", "shared memory": "MB of memory"}
    ends["files"] = "wrote more than 128 MB of files"
    for how, said in ends.items():
        running = await processes.of("me")
        toy = Toy(running.process)
        deadline_s = 1 if how == "hang" else 120
        with pytest.raises(PackEndedError, match=f"'toy_pack'.*{said}"):
            await toy.ask("run", "ToyCrashes", {"how": how}, deadline_s=deadline_s)
        with pytest.raises(CallLostError):
            await toy.ask("run", "ToyPass", {"value": 1})
    assert (processes.started, processes.alive) == (4, 0)


async def test_what_raises_at_import_is_refused_and_says_why(tmp_path: Path) -> None:
    process = PackProcess(starting("raising_pack", tmp_path))
    with pytest.raises(PackRefusedError, match=r"'raising_pack' is not loaded.*no luck"):
        await process.start()
    assert process.ended is not None


async def test_a_pack_that_changed_is_not_started(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}")
    allowed = tree_hash(pack)
    check_folder(tmp_path, "pack", allowed)
    assert (copy_allowed(tmp_path, "pack", allowed, tmp_path / "copy") / "__init__.py").is_file()
    (pack / "more.py").write_text("")
    with pytest.raises(PackRefusedError, match=f"{tree_hash(pack)}.*{allowed} is allowed"):
        check_folder(tmp_path, "pack", allowed)
    (pack / "out").symlink_to("/etc")
    with pytest.raises(PackRefusedError, match="leads elsewhere"):
        check_folder(tmp_path, "pack", allowed)


async def test_only_allowed_packs_are_allowed() -> None:
    hashes = {"toy_pack": tree_hash(FOLDER / "toy_pack"), "gone": "0" * 64}
    found = {one.name: one for one in found_packs(FOLDER, hashes)}
    assert found["toy_pack"].allowed
    assert found["raising_pack"].problem == "not allowed"
    assert "there is no 'gone'" in found["gone"].problem


async def test_too_many_owners_at_once_are_told(tmp_path: Path) -> None:
    processes = PackProcesses(starting("toy_pack", tmp_path), lambda _: None, most=0)  # type: ignore[arg-type, return-value]
    with pytest.raises(PackRefusedError, match="no more may at once"):
        await processes.of("me")
    await asyncio.sleep(0)


async def test_a_route_ends_no_process_that_another_owner_used_a_moment_ago(tmp_path: Path) -> None:
    processes = PackProcesses(starting("toy_pack", tmp_path), lambda _: None, most=1)  # type: ignore[arg-type, return-value]
    hooks, other = await processes.hooks(), await processes.of("other")
    with pytest.raises(PackRefusedError, match="no more may at once"):
        await processes.of("me", least_idle_s=60)
    assert (other.process.ended, hooks.process.ended) == (None, None)
    await processes.of("me")
    assert (other.process.ended is None, hooks.process.ended) == (False, None)
    processes.end()
