"""Posts templates to a running server, with small numbers so that a CPU ends them.

The server has stand-in files under the names that they use; what they load is made and uploaded
here. The document is posted as it is: only sizes, lengths and steps are overridden.
"""

import io
import json
import time
import urllib.error
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from typing import Any
from urllib.request import Request, urlopen

import av
import numpy as np
from PIL import Image

from benchmarks.throughput import call
from graph.prompt import Source, Workflow

EXECUTE = "/api/v7/comfyui/execute"
LONGEST_S = 900
SIDE_PX = 128  # of what is made, and of pictures that are loaded
# What an input is at most, by its name.
AT_MOST: Mapping[str, float] = {
    "width": SIDE_PX,
    "height": SIDE_PX,
    "length": 9,
    "video_frames": 3,
    "steps": 2,
    "batch_size": 1,
    "megapixels": 0.1,  # what `ResolutionSelector` takes at least
    "largest_size": SIDE_PX,
    "resolution": SIDE_PX,
    "frames": 9,
}
LAST_STEPS = ("end_at_step", "start_at_step")  # of samplers that share a schedule


def post_all(base: str, documents: Mapping[str, tuple[Any, Workflow]], only: str) -> None:
    """Post those whose names fit `only`, and print a row of a table for each."""
    print("\n| template | ended as | s | outputs |\n| --- | --- | --- | --- |")
    for name, (document, workflow) in documents.items():
        if not fnmatch(name, only):
            continue
        for file, kind in inputs_of(workflow):
            upload(base, file, kind)
        began = time.perf_counter()
        status, outputs = posted(base, {"workflow": document, "inputs": small(workflow)})
        print(f"| {name} | {status} | {time.perf_counter() - began:.0f} | {outputs} |", flush=True)


def posted(base: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """How a job ended, and its files or its error."""
    try:
        answer = call(base + EXECUTE, {**body, "wait": 60, "strict": True})
        began = time.monotonic()
        while answer["status"] in {"processing", "queued"}:
            if time.monotonic() - began > LONGEST_S:
                return "not ended", f"after {LONGEST_S} s"
            time.sleep(0.5)
            with urlopen(answer["fetch_result"], timeout=60) as response:
                answer = json.load(response)
    except urllib.error.HTTPError as error:
        return str(error.code), _one_line(error.read().decode("utf-8", "replace"))
    if answer["status"] != "success":
        return answer["status"], _one_line(str(answer))
    return "success", ", ".join(one["filename"] for one in answer["outputs"])


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:1500]


def small(workflow: Workflow) -> dict[str, Any]:
    """The overrides that make a workflow small."""
    found: dict[str, Any] = {}
    for node_id, node in workflow.nodes.items():
        for name, value in node.inputs.items():
            if isinstance(value, bool | Source) or not isinstance(value, int | float):
                continue
            most = AT_MOST.get(name.rpartition(".")[2])
            if most is not None and value > most:
                found.setdefault(node_id, {})[name] = most
        if node.class_type == "KSamplerAdvanced":
            found.setdefault(node_id, {}).update(_two_steps(node.inputs))
    return found


def _two_steps(inputs: Mapping[str, Any]) -> dict[str, int]:
    """A schedule of two steps: the first half of it is one, and so is the second."""
    steps = inputs.get("steps")
    if not isinstance(steps, int):
        return {}
    halves = {name: inputs.get(name) for name in LAST_STEPS}
    return {
        "steps": 2,
        **{
            name: 0 if value == 0 else 1 if value < steps else 2
            for name, value in halves.items()
            if isinstance(value, int)
        },
    }


def inputs_of(workflow: Workflow) -> Iterator[tuple[str, str]]:
    """The files that a workflow loads, and their kinds."""
    kinds = {
        "LoadImage": "image",
        "LoadImageMask": "image",
        "LoadVideo": "file",
        "LoadAudio": "audio",
    }
    for node in workflow.nodes.values():
        kind = kinds.get(node.class_type)
        file = node.inputs.get(kind) if kind else None
        if kind and isinstance(file, str):
            yield file.removesuffix(" [input]").removesuffix(" [output]"), kind


def upload(base: str, name: str, kind: str) -> None:
    """Make a file and upload it under a name."""
    content = {"image": picture, "file": video, "audio": sound}[kind]()
    boundary = "comfyray-stand-in"
    folder, _, file = name.rpartition("/")
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n',
        f'--{boundary}\r\nContent-Disposition: form-data; name="subfolder"\r\n\r\n{folder}\r\n',
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{file}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n",
    ]
    body = "".join(parts).encode() + content + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with urlopen(Request(f"{base}/upload/image", body, headers), timeout=60):
        pass


def drawn(shift: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture of slopes and a square, with a hole of no alpha."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    pixels = np.stack([x * 2, y * 2, 255 - x, np.full_like(x, 255)], axis=-1).astype(np.uint8)
    pixels[30:70, 30 + shift : 70 + shift, :3] = 220, 40, 40
    pixels[80:110, 80:110, 3] = 0
    return pixels


def picture() -> bytes:
    """A PNG."""
    file = io.BytesIO()
    Image.fromarray(drawn()).save(file, "PNG")
    return file.getvalue()


def video() -> bytes:
    """An MP4 of 17 frames."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        for shift in range(17):
            frame = av.VideoFrame.from_ndarray(drawn(2 * shift)[..., :3], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def sound() -> bytes:
    """A WAV of two seconds."""
    file = io.BytesIO()
    rate = 16_000
    wave = (np.sin(np.arange(2 * rate) * 0.05) * 8000).astype(np.int16)[None]
    with av.open(file, "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()
