"""A job's events in ComfyUI's messages, in ComfyUI's order."""

import json
import struct
from collections.abc import Sequence

from api.comfyui.messages import CountQueue, Message, Preview, PromptMessages, Reaction
from api.jobs.events import (
    Begun,
    Displayed,
    Ended,
    Happened,
    JobAddress,
    JobEvent,
    NodeCached,
    NodeFinished,
    NodeStarted,
    Progressed,
    Queued,
    Said,
    Saved,
    Shown,
)
from storage.outputs import StoredOutput

JOB = JobAddress("me", 7, "p", "c")
OUTPUT = StoredOutput("7", "image", "image/png", 8, 8, False, "a_00001_.png", "", 9, "", "")
START = (Begun(), NodeCached("1", "Loader"))
SAMPLED = (
    NodeStarted("5", "KSampler"),
    Progressed("5", 1, 2, b"jpeg"),
    Progressed("5", 2, 2),
    NodeFinished("5", "KSampler"),
)
SAVED = (NodeStarted("7", "SaveImage"), Saved(OUTPUT), NodeFinished("7", "SaveImage"))
END = ["status", "executing None"]


def _told(*events: JobEvent) -> list[Reaction]:
    prompt = PromptMessages(JOB)
    happened = [Happened(JOB, k, 1.5, event) for k, event in enumerate(events)]
    return [reactions for one in happened for reactions in prompt.reactions(one)]


def _kinds(reactions: Sequence[Reaction]) -> list[str]:
    def kind(one: Reaction) -> str:
        if isinstance(one, CountQueue):
            return "status"
        if isinstance(one, Message):
            return f"executing {one.data['node']}" if one.type == "executing" else one.type
        return "binary"

    return [kind(one) for one in reactions]


def _only(reactions: Sequence[Reaction], kind: str) -> Message:
    (found,) = [one for one in reactions if isinstance(one, Message) and one.type == kind]
    return found


def test_a_run_is_told_in_comfyuis_order() -> None:
    reactions = _told(Queued(), *START, *SAMPLED, *SAVED, Ended("success"))
    assert _kinds(reactions) == [
        "status",
        "status",
        "execution_start",
        "execution_cached",
        "progress_state",
        "executing 5",
        "progress_state",
        "binary",
        "progress",
        "progress_state",
        "progress",
        "progress_state",
        "progress_state",
        "executing 7",
        "executed",
        "progress_state",
        "execution_success",
        *END,
    ]
    assert _only(reactions, "execution_cached").data["nodes"] == ["1"]
    assert _only(reactions, "execution_start").data == {"prompt_id": "p", "timestamp": 1500}
    image = {"filename": "a_00001_.png", "subfolder": "", "type": "output"}
    assert _only(reactions, "executed").data["output"] == {"images": [image]}


def test_done_nodes_stay_in_the_state() -> None:
    reactions = _told(*START, *SAMPLED, *SAVED)
    states = [one for one in reactions if isinstance(one, Message) and one.type == "progress_state"]
    last = states[-1].data["nodes"]
    assert {node_id: node["state"] for node_id, node in last.items()} == {
        "5": "finished",
        "7": "finished",
    }
    assert last["5"]["value"] == last["5"]["max"] == 2
    first = states[0].data["nodes"]
    assert first["5"]["state"] == "running"  # as it was then


def test_a_cached_output_is_told_all_the_same() -> None:
    reactions = _told(Begun(), NodeCached("7", "SaveImage"), Saved(OUTPUT), Ended("success"))
    start = ["status", "execution_start", "execution_cached"]
    assert _kinds(reactions) == [*start, "executed", "execution_success", *END]


def test_what_a_node_shows_itself_names_its_files_as_they_are_stored() -> None:
    shown = Displayed("7", '{"text": ["a"], "notes": [{"$file": 0}]}', 1, "7 0")
    more = Displayed("7", '{"text": ["b"]}', 0, "7 1")
    run = (NodeStarted("7", "Toy"), Saved(OUTPUT), shown, shown, more, NodeFinished("7", "Toy"))
    output = _only(_told(*START, *run), "executed").data["output"]
    file = {"filename": "a_00001_.png", "subfolder": "", "type": "output"}
    assert output == {"text": ["a", "b"], "notes": [file]}


def test_a_failure_says_where_it_was() -> None:
    reactions = _told(
        *START, *SAMPLED, NodeStarted("6", "VAEDecode"), Ended("failed", "", "bad", "No.")
    )
    assert _kinds(reactions)[-3:] == ["execution_error", *END]
    error = _only(reactions, "execution_error").data
    assert (error["node_id"], error["node_type"]) == ("6", "VAEDecode")
    assert (error["exception_type"], error["exception_message"]) == ("bad", "No.")
    assert error["executed"] == ["5"]
    assert (error["traceback"], error["current_inputs"]) == ([], {})


def test_a_cancelled_run_is_told_to_all_and_one_that_never_ran_only_counted() -> None:
    reactions = _told(*START, *SAMPLED[:2], Ended("cancelled"))
    interrupted = _only(reactions, "execution_interrupted")
    assert interrupted.to_all
    assert (interrupted.data["node_id"], interrupted.data["node_type"]) == ("5", "KSampler")
    assert _kinds(reactions)[-3:] == ["execution_interrupted", *END]
    assert _kinds(_told(Queued(), Ended("cancelled"))) == ["status", "status"]


def test_previews_are_framed_as_a_client_can_read_them() -> None:
    (preview,) = [one for one in _told(*START, *SAMPLED) if isinstance(one, Preview)]
    assert preview.frame(metadata=False) == struct.pack(">II", 1, 1) + b"jpeg"
    frame = preview.frame(metadata=True)
    event, length = struct.unpack(">II", frame[:8])
    about = json.loads(frame[8 : 8 + length])
    assert (event, frame[8 + length :]) == (4, b"jpeg")
    assert (about["node_id"], about["prompt_id"], about["image_type"]) == ("5", "p", "image/jpeg")


def test_pictures_and_texts_are_frames_of_their_own() -> None:
    reactions = _told(Begun(), Shown("2", b"png"), Said("2", "two"))
    frames = [
        one.frame(metadata=True) for one in reactions if not isinstance(one, CountQueue | Message)
    ]
    assert frames == [
        struct.pack(">II", 1, 2) + b"png",
        struct.pack(">II", 3, 1) + b"2" + b"two",
    ]


def test_a_job_that_is_begun_anew_is_told_from_its_start() -> None:
    prompt = PromptMessages(JOB)
    list(prompt.reactions(Happened(JOB, 1, 0.0, NodeStarted("5", "KSampler"))))
    (where,) = prompt.where()
    assert where.data["node"] == "5"
