"""Nodes of a pack in a process of its own: what they are given, and what they give."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from deployments.transport import Array
from graph.prompt import Source
from graph.results import ExecutionBlocker, Expansion
from graph.values import Audio, Condition, InputFile, Items, Latent, Model, ModelFile, Video
from packs.errors import CallLostError, PackResultError, PackSlowError
from packs.pages import PageAnswer, PageRequest, answer_in, listed_routes
from packs.shown import display_in, files_in
from packs.travel import PackValue, Traveller
from packs.usage import memory_bytes
from packs.wire import Message
from tests.packs.hosts import Toy

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def toy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Toy]:
    toy = await Toy.start(tmp_path_factory.mktemp("toy"))
    yield toy
    toy.process.end("is not needed any more")


def image(height: int = 2, width: int = 3) -> Array:
    pixels = np.arange(height * width * 3, dtype=np.float32).reshape(1, height, width, 3)
    return Array(pixels, "float32")


async def test_a_node_gets_tensors_and_gives_them(toy: Toy) -> None:
    told: list[Mapping[str, Any]] = []
    given = image()
    message = await toy.ask("run", "ToyDouble", {"image": given}, tell=told.append)
    doubled, width = toy.read("ToyDouble", message)
    expected = given.data.repeat(2, axis=1).repeat(2, axis=2)
    assert np.array_equal(doubled.data, expected)
    assert width == 6
    assert [(one["value"], one["max"]) for one in told] == [(1, 2), (2, 2)]


async def test_its_description_is_an_entry_of_object_info(toy: Toy) -> None:
    entry = toy.described["ToyDouble"]["entry"]
    assert entry["display_name"] == "Double it"
    assert entry["input"]["optional"] == {"times": ["INT", {"default": 2}]}
    assert entry["output"] == ["IMAGE", "INT"]
    assert entry["output_name"] == ["doubled", "width"]
    assert toy.described["ToyChecks"]["has_validate"]
    assert toy.described["ToyPatches"]["patches"] == "set_model_attn1_patch"
    assert not toy.described["ToySamples"]["patches"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool", "float16"])
async def test_every_kind_of_tensor_comes_back_as_it_was(toy: Toy, dtype: str) -> None:
    data = np.arange(24, dtype=np.uint8).reshape(2, 12)
    data = data if dtype == "bfloat16" else (data % 2).astype(dtype)
    back = await toy.run("ToyPass", value=Array(data, dtype))
    assert back.dtype == dtype
    assert np.array_equal(back.data, data)


async def test_latents_sounds_and_prompts_come_back_as_they_were(toy: Toy) -> None:
    samples = Array(np.ones((1, 4, 2, 2), np.float32), "float32")
    latent = await toy.run("ToyPass", value=Latent(samples, None, (3, 4)))
    assert isinstance(latent, Latent)
    assert latent.batch_index == (3, 4)
    sound = await toy.run("ToyPass", value=Audio(samples, 16000))
    assert isinstance(sound, Audio)
    assert sound.sample_rate == 16000
    area = (8.0, 8.0, 0.0, 4.0)
    prompt = (Condition(samples, samples, strength=0.5, area=area, extras={"width": 64}),)
    (back,) = await toy.run("ToyPass", value=prompt)
    assert (back.strength, back.area, dict(back.extras)) == (0.5, area, {"width": 64})
    assert np.array_equal(back.pooled.data, samples.data)


async def test_videos_come_back_as_they_were(toy: Toy) -> None:
    frames = Array(np.ones((3, 2, 2, 3), np.float32), "float32")
    video = await toy.run("ToyPass", value=Video(frames=frames, fps=12.5))
    assert (video.fps, np.array_equal(video.frames.data, frames.data)) == (12.5, True)
    file = InputFile("a.mp4", b"film", "")
    video = await toy.run("ToyPass", value=Video(file=file, start_s=1.5, duration_s=2))
    assert (video.file.content, video.start_s, video.duration_s) == (b"film", 1.5, 2)


async def test_a_node_of_the_new_kind_runs_as_one_of_the_old(toy: Toy) -> None:
    entry = toy.described["ToyJoin"]["entry"]
    assert (entry["display_name"], entry["output_name"]) == ("Join them", ["joined", "INT"])
    assert entry["input"]["required"]["how"] == ["COMBO", {"options": ["once", "twice"]}]
    message = await toy.ask("run", "ToyJoin", {"text": "ab", "how": "twice"})
    assert toy.read("ToyJoin", message) == ("abab", 4)
    assert display_in(message, []) == {"text": ["1"]}
    said = (await toy.ask("validate", "ToyJoin", {"text": "bad", "how": "once"})).said
    assert said["verdict"] == "a bad text"


async def test_plain_values_and_models_come_back_as_they_were(toy: Toy) -> None:
    value = {"a": [1, 2.5, None, True], "b": ("x", b"y"), 3: "three"}
    assert await toy.run("ToyPass", value=value) == value
    assert await toy.run("ToyPass", value=Source("4", 1)) == ["4", 1]
    model = Model(ModelFile("checkpoints", "m.safetensors"))
    assert await toy.run("ToyPass", value=model) == model


async def test_an_object_of_the_pack_stays_there(toy: Toy) -> None:
    thing = await toy.run("ToyMakeThing", value=7)
    assert isinstance(thing, PackValue)
    assert (thing.pack, thing.kind) == ("toy_pack", "THING")
    assert await toy.run("ToyUseThing", thing=thing) == 7


async def test_an_object_of_a_process_that_is_gone_is_lost(toy: Toy) -> None:
    with pytest.raises(CallLostError):
        await toy.run("ToyUseThing", thing=PackValue("toy_pack", "p0", 1, "THING"))


async def test_a_node_keeps_what_it_keeps_for_one_owner_and_one_node(toy: Toy) -> None:
    async def count(**who: Any) -> Any:
        return toy.read("ToyCount", await toy.ask("run", "ToyCount", {}, **who))

    counts = [await count(owner=o, node=n) for o, n in ("a1", "a1", "b1", "a2")]
    assert counts == [1, 2, 1, 1]


async def test_files_of_one_name_are_each_owners_own(toy: Toy) -> None:
    for owner, content in (("a", b"one"), ("b", b"two"), ("a", b"six")):
        inputs = {"file": InputFile("words.txt", content, content.hex())}
        message = await toy.ask("run", "ToyReads", inputs, owner=owner)
        assert toy.read("ToyReads", message) == content.decode()


async def test_large_tensors_use_the_same_memory_again(toy: Toy) -> None:
    pixels = np.random.default_rng(0).random((1, 512, 512, 3), dtype=np.float32)
    kept = [await toy.run("ToyPass", value=Array(pixels + k, "float32")) for k in range(4)]
    assert all(np.array_equal(one.data, pixels + k) for k, one in enumerate(kept))
    del kept
    before = memory_bytes(toy.process.pid)
    for k in range(20):
        one = await toy.run("ToyPass", value=Array(pixels + k, "float32"))
        assert np.array_equal(one.data, pixels + k)
    assert memory_bytes(toy.process.pid) < before + 8 * pixels.nbytes


async def test_lists_blockers_and_graphs_are_those_of_the_executor(toy: Toy) -> None:
    numbers, four = await toy.run("ToyLists")
    assert isinstance(numbers, Items)
    assert (numbers.values, four) == ((1, 2, 3), 4)
    blocked = await toy.run("ToyBlocks")
    assert isinstance(blocked, ExecutionBlocker)
    assert blocked.message == "not today"
    graph = await toy.run("ToyExpands", value=3)
    assert isinstance(graph, Expansion)
    assert [node.class_type for node in graph.nodes.values()] == ["ToyMakeThing", "ToyUseThing"]
    assert graph.outputs[0].node_id == list(graph.nodes)[1]


async def test_hooks_see_constants(toy: Toy) -> None:
    async def said(do: str, value: int) -> Mapping[str, Any]:
        return (await toy.ask(do, "ToyChecks", {"value": value})).said

    assert (await said("validate", 1))["verdict"] is True
    assert (await said("validate", 7))["verdict"] == "no sevens"
    assert (await said("changed", 4))["changed"] == 40


async def test_coroutines_run_side_by_side(toy: Toy) -> None:
    began = asyncio.get_running_loop().time()
    assert await asyncio.gather(*(toy.run("ToySlow") for _ in range(20))) == ["slept"] * 20
    assert asyncio.get_running_loop().time() - began < 20 * 0.2


async def test_a_cancelled_node_stops_and_its_process_goes_on(toy: Toy) -> None:
    begun = asyncio.Event()
    running = asyncio.create_task(toy.ask("run", "ToyLoops", {}, tell=lambda _: begun.set()))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await toy.run("ToyPass", value=1) == 1


async def test_sampling_comes_back_to_the_service(toy: Toy) -> None:
    asked: list[Any] = []

    async def ask(message: Message) -> tuple[Mapping[str, Any], Sequence[memoryview]]:
        given = message.said["inputs"]
        inputs = {n: toy.traveller.decode(one, message.buffers) for n, one in given.items()}
        asked.append((message.said["class"], inputs))
        encoder = toy.traveller.encoder()
        done = Latent(Array(inputs["latent_image"].samples.data + 1, "float32"))
        return {"outputs": [toy.traveller.encode(encoder, done)]}, encoder.buffers

    model = Model(ModelFile("checkpoints", "m.safetensors"))
    samples = Array(np.zeros((1, 4, 2, 2), np.float32), "float32")
    prompt = (Condition(samples),)
    inputs = {"model": model, "positive": prompt, "negative": prompt, "latent": Latent(samples)}
    message = await toy.ask("run", "ToySamples", inputs, ask=ask)
    latent = toy.read("ToySamples", message)
    ((class_type, given),) = asked
    assert class_type == "KSampler"
    assert (given["model"], given["seed"], given["steps"]) == (model, 5, 2)
    assert np.array_equal(latent.samples.data, samples.data + 1)


async def test_files_and_messages_of_a_node_are_told(toy: Toy) -> None:
    told: list[Mapping[str, Any]] = []
    message = await toy.ask("run", "ToyWrites", {}, tell=told.append)
    (file,) = files_in(message)
    assert (file.prefix, file.extension, file.content) == ("notes", ".txt", b"hello")
    shown = display_in(message, [file])
    notes = [{"$file": 0}, {"filename": "x", "type": "input"}]
    assert shown == {"text": ["hello"], "notes": notes}  # JSON has no NaN
    assert [one["type"] for one in told] == ["toy.said", "execution_success"]
    message = await toy.ask("run", "ToySaves", {"images": image(), "filename_prefix": "a/b"})
    (picture,) = files_in(message)
    assert (picture.prefix, picture.extension) == ("a/b", ".png")
    assert picture.content.startswith(b"\x89PNG")


async def test_routes_of_a_pack_answer_without_a_socket(toy: Toy) -> None:
    async def asked(request: PageRequest, do: str = "route") -> Any:
        body = [memoryview(request.body)] if request.body else []
        said = {**request.said(), "owner": "me"}
        return answer_in(await toy.process.call(do, said, body, deadline_s=60))

    headers = {"cookie": "session=1", "Accept": "*/*"}
    path = "/toy/hello/you"
    answer = await asked(PageRequest("GET", path, f"{path}?x=1", headers))
    said = json.loads(answer.body)
    assert (said["name"], said["query"], said["cookies"]) == ("you", {"x": "1"}, {})
    assert said["input"] == str(toy.process._how.scratch / "input")
    assert (answer.status, "set-cookie" in answer.headers, answer.headers["etag"]) == (
        200,
        False,
        "1",
    )
    place = b'Content-Disposition: form-data; name="file"; filename="a"'
    form = b"\r\n".join((b"--b", place, b"", b"\x00png", b"--b--", b""))
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await asked(PageRequest("POST", "/toy/echo", "/toy/echo", headers, form))
    assert (answer.headers["content-type"], answer.body) == ("image/png", b"\x00png")
    script = "/extensions/toy_pack/toy.js"
    page = await asked(PageRequest("GET", script, script), "page")
    assert page.body.startswith(b"// A script")
    assert (await asked(PageRequest("GET", "/toy/no", "/toy/no"))).status == 404
    routes = listed_routes(toy.routes)
    assert {("GET", "/toy/hello/*"), ("POST", "/toy/echo")} <= set(routes)


async def test_a_route_that_is_slow_is_stopped_and_ends_no_process(toy: Toy) -> None:
    async def asked(seconds: str, do: str = "route", deadline_s: float = 60) -> PageAnswer:
        target = f"/extensions/toy_pack/slow?s={seconds}"
        request = PageRequest("GET", target.partition("?")[0], target)
        said = {**request.said(), "owner": "me"}
        call = toy.process.call(do, said, deadline_s=deadline_s, stops=True)
        return answer_in(await call)

    with pytest.raises(PackSlowError, match=r"within 0\.2 s"):
        await asked("60", deadline_s=0.2)
    left = asyncio.create_task(asked("60"))
    await asyncio.sleep(0.2)
    left.cancel()
    assert (await asked("0")).status == 200
    async with asyncio.timeout(20):
        while toy.process.busy:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
    assert toy.process.ended is None
    assert (await asked("0", "page")).status == 404  # a page is a file, whatever the pack adds


async def test_a_wrong_shape_is_told_with_the_packs_name(toy: Toy) -> None:
    with pytest.raises(PackResultError, match=r"toy_pack.*\[4\].*IMAGE"):
        await toy.run("ToyWrongShape")


async def test_a_prompt_with_a_foreign_control_is_refused() -> None:
    traveller = Traveller("toy_pack", "p1", lambda _: None, lambda parts: parts)
    with pytest.raises(CallLostError):
        traveller.decode({"$": "service", "id": 5}, ())
