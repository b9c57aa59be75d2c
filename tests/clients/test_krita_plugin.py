"""Krita's plugin: its own client class over the application, in `make test-clients`.

The plugin is under the GPL-3. It is fetched into build/krita, with Qt, and run there; a folder of
KRITA_PLUGIN is taken instead where there is one.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.one_process import running

pytestmark = pytest.mark.clients
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "krita"
SESSION = """
import asyncio, json, sys

from PyQt5.QtCore import QCoreApplication

application = QCoreApplication([])
from ai_diffusion import eventloop
from ai_diffusion.backend.api import (
    CheckpointInput, ConditioningInput, FillMode, ImageInput, InpaintMode, InpaintParams,
    SamplingInput, WorkflowInput, WorkflowKind,
)
from ai_diffusion.backend.client import ClientEvent
from ai_diffusion.backend.comfy_client import ComfyClient
from ai_diffusion.image import Bounds, Extent, Image, Mask
from ai_diffusion.settings import settings

SIZE = Extent(512, 512)
PART = Bounds(128, 128, 256, 256)


def work(kind, seed, steps=4, start_step=0):
    images = ImageInput.from_extent(SIZE)
    inpaint = None
    if kind is not WorkflowKind.generate:
        images.initial_image = Image.create(SIZE)
    if kind is WorkflowKind.inpaint:
        images.hires_image = Image.create(SIZE)
        images.hires_mask = Mask.rectangle(PART, PART).to_image(SIZE)
        inpaint = InpaintParams(InpaintMode.fill, PART, FillMode.blur, grow=4, feather=8, blend=8)
    sampling = SamplingInput("euler", "normal", 5.0, steps, start_step, seed)
    prompt = ConditioningInput("a red circle", "")
    models = CheckpointInput("comfyray-demo.safetensors")
    return WorkflowInput(kind, images, models, sampling, prompt, inpaint, SIZE)


WORKS = (
    work(WorkflowKind.generate, 1),
    work(WorkflowKind.refine, 2, start_step=1),
    work(WorkflowKind.inpaint, 3),
    work(WorkflowKind.generate, 4, steps=2000),
)


async def session(url):
    settings.check_server_resources = False  # there is one model, and none for inpainting
    client = ComfyClient(url)
    await client.connect()
    async for _ in client.discover_models(refresh=False):
        pass
    jobs, told, sizes = [], [], []
    async for said in client.listen():
        if not jobs:  # it is connected
            jobs = [await client.enqueue(one) for one in WORKS]
        if said.event is ClientEvent.progress and said.job_id == jobs[-1] and said.progress > 0:
            await client.interrupt()
        if said.event in {ClientEvent.finished, ClientEvent.interrupted, ClientEvent.error}:
            told.append([jobs.index(said.job_id), said.event.name])
            sizes += [[image.width, image.height] for image in said.images or ()]
        if len(told) == len(jobs):
            break
    await client.disconnect()
    models = {name: one.arch.name for name, one in client.models.checkpoints.items()}
    return {"models": models, "told": told, "sizes": sizes}


eventloop.setup()
task = eventloop.run(session(sys.argv[1]))
while not task.done():
    application.processEvents()
print(json.dumps(task.result()))
"""


def test_kritas_client_draws_refines_inpaints_and_stops(tmp_path: Path) -> None:
    install = ["sh", "cluster/install_krita_plugin.sh", str(FOLDER)]
    subprocess.run(install, cwd=ROOT, check=True)
    settings = {
        "COMFYRAY_AUTH": "off",
        "COMFYRAY_DATA_DIR": str(tmp_path / "data"),
        "COMFYRAY_MODELS_DIR": str(ROOT / "models"),
    }
    with running(settings) as url:
        ended = subprocess.run(
            [FOLDER / "bin" / "python", "-c", SESSION, url],
            cwd=FOLDER / "plugin",
            env=os.environ | {"HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"},
            check=False,
            capture_output=True,
            timeout=300,
        )
    assert ended.returncode == 0, ended.stderr.decode()
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["models"] == {"comfyray-demo.safetensors": "sd15"}
    assert told["told"] == [
        *([0, "finished"], [1, "finished"], [2, "finished"], [3, "interrupted"])
    ]
    assert told["sizes"] == [[512, 512], [512, 512], [256, 256]]
