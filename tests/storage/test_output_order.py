"""The order of a job's outputs, whatever its nodes are called."""

from itertools import permutations

import numpy as np
import pytest

from storage.files import Files
from storage.job_outputs import JobOutputs
from storage.outputs import JobFolder

IDS = ("4", "9", "10", "4:3", "4:12", "²", "①", "", "x", "\x00", "\ud800", "1" * 5000, "9" * 30)
BLACK = np.zeros((1, 8, 8, 3), np.float32)


async def saved(files: Files, *node_ids: str) -> list[str]:
    outputs = JobOutputs(JobFolder(files, "outputs/local/1/", 60.0))
    for node_id in node_ids:
        await outputs.save_images(BLACK, node_id=node_id)
    return [output.node_id for output in outputs.outputs]


async def test_any_id_has_its_place(files: Files) -> None:
    assert sorted(await saved(files, *IDS)) == sorted(IDS)


async def test_the_order_is_the_same_however_they_came(files: Files) -> None:
    orders = {tuple(await saved(files, *ids)) for ids in permutations(("²", "10", "9", "x"))}
    assert orders == {("9", "10", "x", "²")}


@pytest.mark.parametrize("node_id", ["²", "\ud800", "1" * 5000])
async def test_a_preview_may_have_any_id(files: Files, node_id: str) -> None:
    outputs = JobOutputs(JobFolder(files, "outputs/local/1/", 60.0))
    (output,) = await outputs.save_images(BLACK, node_id=node_id, temporary=True)
    assert output.temporary
