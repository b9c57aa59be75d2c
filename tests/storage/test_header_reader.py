"""Headers are read beside the event loop, no more at once than the reader allows."""

import asyncio
import threading
from pathlib import Path

import pytest

from graph.errors import BadModelFile
from graph.model_files.limits import HeaderLimits
from graph.values import ModelFile
from storage.models.header_reader import HeaderReader
from tests.hostile_files import ONE, safetensors_file


@pytest.mark.parametrize("at_once", [1, 2])
async def test_a_bounded_number_of_headers_is_read_at_once(at_once: int) -> None:
    reader, lock = HeaderReader(at_once=at_once), threading.Lock()
    here, most = threading.Semaphore(0), 0
    goes_on = threading.Event()
    running = 0

    def work() -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        here.release()
        goes_on.wait(30)
        with lock:
            running -= 1
        return threading.current_thread().name

    tasks = [asyncio.create_task(reader.beside(work)) for _ in range(4)]
    for _ in range(at_once):
        await asyncio.to_thread(here.acquire)
    goes_on.set()
    names = await asyncio.gather(*tasks)
    assert most == at_once
    assert all(name.startswith("headers") for name in names)


def test_a_reader_has_the_limits_of_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_file({"a": ONE}))
    file = ModelFile("loras", path.name)
    assert list(HeaderReader().read(path, file).tensors) == ["a"]
    with pytest.raises(BadModelFile, match="the limit is 10"):
        HeaderReader(HeaderLimits(header_bytes=10)).read(path, file)
