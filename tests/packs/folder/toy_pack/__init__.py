# mypy: ignore-errors
"""A custom node pack as people write them, with all that a host has to bear. Nothing is installed."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import folder_paths
import torch
from aiohttp import web
from comfy_api.latest import ComfyExtension, io, ui
from comfy.utils import ProgressBar, common_upscale
from comfy_execution.graph import ExecutionBlocker
from comfy_execution.graph_utils import GraphBuilder
from nodes import NODE_CLASS_MAPPINGS as CORE
from nodes import SaveImage, common_ksampler
from server import PromptServer


class Node:
    """What the nodes below share."""

    CATEGORY = "toy"
    FUNCTION = "run"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}


class Double(Node):
    RETURN_TYPES = ("IMAGE", "INT")
    RETURN_NAMES = ("doubled", "width")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",)}, "optional": {"times": ("INT", {"default": 2})}}

    def run(self, image, times=2):
        bar = ProgressBar(2)
        bar.update(1)
        samples = image.movedim(-1, 1)
        size = image.shape[2] * times, image.shape[1] * times
        bar.update(1)
        return common_upscale(samples, *size, "nearest-exact", "disabled").movedim(1, -1), size[0]


class Thing:
    """Something that no other process could use."""

    def __init__(self, value):
        self.value = value


class MakeThing(Node):
    RETURN_TYPES = ("THING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 0})}}

    def run(self, value):
        return (Thing(value),)


class UseThing(Node):
    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"thing": ("THING",)}}

    def run(self, thing):
        assert type(thing) is Thing
        return (thing.value,)


class Count(Node):
    """Keeps a number in itself, as some nodes do."""

    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}, "hidden": {"node_id": "UNIQUE_ID"}}

    def __init__(self):
        self.count = 0

    def run(self, node_id):
        self.count += 1
        return (self.count,)


class Pass(Node):
    RETURN_TYPES = ("*",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("*",)}}

    def run(self, value):
        return (value,)


class Lists(Node):
    RETURN_TYPES = ("INT", "INT")
    OUTPUT_IS_LIST = (True, False)

    def run(self):
        return ([1, 2, 3], 4)


class Blocks(Node):
    RETURN_TYPES = ("INT",)

    def run(self):
        return (ExecutionBlocker("not today"),)


class Expands(Node):
    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 0})}}

    def run(self, value):
        graph = GraphBuilder()
        thing = graph.node("ToyMakeThing", value=value)
        return {"result": (graph.node("ToyUseThing", thing=thing.out(0)).out(0),),
                "expand": graph.finalize()}


class Checks(Node):
    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 0, "max": 5})}}

    @classmethod
    def VALIDATE_INPUTS(cls, value):
        if value == 99:
            time.sleep(60)
        return True if value != 7 else "no sevens"

    @classmethod
    def IS_CHANGED(cls, value):
        return value * 10

    def run(self, value):
        return (value,)


class Slow(Node):
    async def run(self):
        await asyncio.sleep(0.2)
        return ("slept",)


class Loops(Node):
    """Goes on until it is told to stop."""

    def run(self):
        bar = ProgressBar(10_000)
        for _ in range(10_000):
            time.sleep(0.02)
            bar.update(1)
        return ("over",)


class Samples(Node):
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "positive": ("CONDITIONING",),
                             "negative": ("CONDITIONING",), "latent": ("LATENT",)}}

    def run(self, model, positive, negative, latent):
        return common_ksampler(model, 5, 2, 7.0, "euler", "normal", positive, negative, latent)


class Encodes(Node):
    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"clip": ("CLIP",), "text": ("STRING", {"default": ""})}}

    def run(self, clip, text):
        return ([[one[0] * 1, {**one[1], "strength": 0.5}] for one in
                 CORE["CLIPTextEncode"]().encode(clip, text)[0]],)


class Patches(Node):
    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def run(self, model):
        patched = model.clone()
        patched.set_model_attn1_patch(lambda *_: None)
        return (patched,)


class Saves(SaveImage):
    CATEGORY = "toy"


class Writes(Node):
    RETURN_TYPES = ()
    OUTPUT_NODE = True

    def run(self):
        Path(folder_paths.get_output_directory(), "notes_00001_.txt").write_text("hello")
        PromptServer.instance.send_sync("toy.said", {"text": "hello"})
        PromptServer.instance.send_sync("execution_success", {"prompt_id": "yours"})
        file = {"filename": "notes_00001_.txt", "subfolder": "", "type": "output"}
        return {"ui": {"text": ["hello"], "notes": [file, {"filename": "x", "type": "input"}],
                       "numbers": [1.5, float("nan")]}}


class Steals(Node):
    """What a hostile node would try; it says how far it came."""

    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"what": ("STRING", {"default": ""})}}

    def run(self, what):
        try:
            return (f"did it: {getattr(self, what)()}",)
        except OSError as error:
            return (f"{type(error).__name__}",)

    def environment(self):
        return " ".join(f"{name}={value}" for name, value in os.environ.items())

    def parents_environment(self):
        return Path(f"/proc/{os.getppid()}/environ").read_bytes()

    def connect(self):
        return socket.create_connection(("127.0.0.1", 80), 1)

    def unix_socket(self):
        return socket.socket(socket.AF_UNIX)

    def fork(self):
        if (child := os.fork()) == 0:
            os._exit(0)
        return child

    def program(self):
        return subprocess.run(["true"], check=True)

    def write_outside(self):
        return Path(__file__).with_name("evil.py").write_text("evil")

    def read_outside(self):
        return Path("/etc/passwd").read_text()

    def kill_parent(self):
        return os.kill(os.getppid(), 9)

    def pip_freeze(self):
        said = subprocess.check_output([sys.executable, "-s", "-m", "pip", "freeze"], text=True)
        return "torch==" in said

    def pip_install(self):
        return subprocess.run([sys.executable, "-m", "pip", "install", "evil"]).returncode

    def memory(self):
        kept = [bytearray(2**28) for _ in range(64)]
        return len(kept)


class Crashes(Node):
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"how": ("STRING", {"default": ""})}}

    def run(self, how):
        if how == "hang":
            while True:
                pass
        if how == "abort":
            os.abort()
        if how == "shared memory":
            for _ in range(16):
                descriptor = os.memfd_create("hoard")
                for _ in range(16):
                    os.write(descriptor, bytes(2**24))
        if how == "files":
            for number in range(16):
                Path(folder_paths.get_temp_directory(), f"{number}").write_bytes(bytes(2**24))
            time.sleep(60)
        raise RuntimeError(how)


class Reads(Node):
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"file": ("STRING", {"default": ""})}}

    def run(self, file):
        return (Path(folder_paths.get_annotated_filepath(file)).read_text(),)


class WrongShape(Node):
    RETURN_TYPES = ("IMAGE",)

    def run(self):
        return (torch.zeros(4),)


class Replaces(Node):
    """Replaces functions of the host in its own process."""

    def run(self):
        import packs.child.serving
        import packs.encoding

        packs.child.serving.describe = None
        packs.encoding.Decoder.decode = lambda *_: "replaced"
        return ("replaced",)


@PromptServer.instance.routes.get("/toy/hello/{name}")
async def hello(request):
    said = {"name": request.match_info["name"], "query": dict(request.query),
            "cookies": dict(request.cookies), "input": folder_paths.get_input_directory()}
    return web.json_response(said, headers={"Set-Cookie": "a=b", "ETag": "1"})


@PromptServer.instance.routes.get("/extensions/toy_pack/slow")
async def slow(request):
    await asyncio.sleep(float(request.query.get("s", 0)))
    return web.json_response({"query": dict(request.query)})


@PromptServer.instance.routes.post("/toy/echo")
async def echo(request):
    fields = await request.post()
    return web.Response(body=fields["file"].file.read(), content_type="image/png")


class Join(io.ComfyNode):
    """A node of the new kind."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ToyJoin",
            display_name="Join them",
            category="toy",
            inputs=[
                io.String.Input("text", default="a"),
                io.Combo.Input("how", options=["once", "twice"]),
                io.Image.Input("image", optional=True),
            ],
            outputs=[io.String.Output(display_name="joined"), io.Int.Output()],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, text):
        return text != "bad" or "a bad text"

    @classmethod
    async def execute(cls, text, how, image=None):
        await asyncio.sleep(0)
        joined = text * (2 if how == "twice" else 1)
        return io.NodeOutput(joined, len(joined), ui=ui.PreviewText(cls.hidden.unique_id))


class Toys(ComfyExtension):
    async def get_node_list(self):
        return [Join]


async def comfy_entrypoint():
    return Toys()


WEB_DIRECTORY = "./web"
NODE_CLASS_MAPPINGS = {
    f"Toy{one.__name__}": one
    for one in (Double, MakeThing, UseThing, Count, Pass, Lists, Blocks, Expands, Checks, Slow,
                Loops, Samples, Encodes, Patches, Saves, Writes, Steals, Crashes, Reads, WrongShape,
                Replaces)
}
NODE_DISPLAY_NAME_MAPPINGS = {"ToyDouble": "Double it"}
