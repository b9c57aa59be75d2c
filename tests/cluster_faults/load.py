"""Forty jobs of four owners, and what must be true of them whatever fails meanwhile.

Clients do what docs/jobs.md tells them to: they post again under the same Idempotency-Key when
nobody answers, or a 503 comes. Any other answer is a fault.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.workflows import node
from storage.database import Database
from storage.keys import Keys, KeyTerms
from tests.cluster_faults.services import Postgres
from tests.faults.service import Receiver

API = "/api/v7/comfyui"
OWNERS = ("ada", "bob", "cleo", "dan")
JOBS = 40
POOLED, PINNED = "tiny_pooled.safetensors", "tiny_pinned.safetensors"
UNFINISHED = {"queued", "running", "processing"}
AGAIN_S = 0.5
WAITED_S = 3.0  # for an answer, where it is looked how long there is none
ENDS_WITHIN_S = 600.0
READ_AGAIN = (httpx.HTTPError, ValueError, KeyError)


@dataclass(frozen=True)
class Job:
    owner: str
    key: str  # the Idempotency-Key
    id: int


async def _made(url: str) -> dict[str, str]:
    database = Database(url)
    await database.open()
    terms = KeyTerms(("execute", "read", "models", "metrics"), rate="100000/minute")
    keys = {owner: (await Keys(database).create(owner, terms))[0] for owner in OWNERS}
    await database.close()
    return keys


def make_keys(postgres: Postgres) -> dict[str, str]:
    """An API key of each owner."""
    return asyncio.run(_made(postgres.url))


def workflow(seed: int, *, base: str = POOLED, steps: int) -> dict[str, Any]:
    """A picture of 64 by 64 pixels, another one for each seed."""
    loaded = node("CheckpointLoaderSimple", ckpt_name=base)
    sampled = {
        "model": ["1", 0],
        "positive": ["2", 0],
        "negative": ["3", 0],
        "latent_image": ["4", 0],
        "seed": seed,
        "steps": steps,
        "cfg": 5.0,
        "sampler_name": "euler",
        "scheduler": "karras",
        "denoise": 1.0,
    }
    return {
        "1": loaded,
        "2": node("CLIPTextEncode", clip=["1", 1], text=f"a red circle {seed}"),
        "3": node("CLIPTextEncode", clip=["1", 1], text="blurry"),
        "4": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "5": node("KSampler", **sampled),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": node("SaveImage", images=["6", 0], filename_prefix="cluster"),
    }


@dataclass
class Clients:
    """Of one application; `seen` counts what was answered other than it should be."""

    url: str
    keys: Mapping[str, str]
    receiver: Receiver
    seen: Counter[str] = field(default_factory=Counter)

    def post(self, owner: str, key: str, work: Mapping[str, Any]) -> Job:
        """Post until it is accepted."""
        hook = f"http://127.0.0.1:{self.receiver.port}/hook"
        body = {"workflow": work, "wait": 0, "webhook": hook}
        headers = {"X-API-Key": self.keys[owner], "Idempotency-Key": key}
        deadline = time.monotonic() + ENDS_WITHIN_S
        while True:
            try:
                answer = httpx.post(
                    f"{self.url}{API}/execute", json=body, headers=headers, timeout=30
                )
            except httpx.HTTPError as error:
                self.seen[type(error).__name__] += 1
            else:
                if answer.status_code == 200:
                    return Job(owner, key, int(answer.json()["id"]))
                self.seen[f"{answer.status_code} {answer.text[:300]}"] += 1
            assert time.monotonic() < deadline, self.seen
            time.sleep(AGAIN_S)

    def post_all(self, works: Mapping[str, Mapping[str, Any]]) -> list[Job]:
        """Post works by Idempotency-Key, which ends in a number: that says whose it is."""
        owners = [OWNERS[int(key.rpartition(" ")[2]) % len(OWNERS)] for key in works]
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(self.post, owners, works.keys(), works.values()))

    def read(self, owner: str, path: str, within_s: float = 30.0) -> dict[str, Any] | None:
        """What a GET answers; None where nobody does."""
        headers = {"X-API-Key": self.keys[owner]}
        try:
            answer = httpx.get(f"{self.url}{API}{path}", headers=headers, timeout=within_s)
            if answer.status_code != 200:
                self.seen[f"{answer.status_code} {answer.text[:300]}"] += 1
                return None
            told: dict[str, Any] = answer.json()
        except READ_AGAIN as error:
            self.seen[type(error).__name__] += 1
            return None
        return told

    def states(self, jobs: Sequence[Job]) -> list[str]:
        """The jobs' states; none while somebody does not answer."""
        known: dict[int, str] = {}
        for owner in {job.owner for job in jobs}:
            told = self.read(owner, "/jobs?limit=200")
            if told is None:
                return []
            known |= {job["id"]: job["status"] for job in told["jobs"]}
        return [known[job.id] for job in jobs]

    def wait(
        self, jobs: Sequence[Job], done: Callable[[list[str]], bool], within_s: float
    ) -> float:
        """Until `done` says so of the states; the seconds that it took."""
        began = time.monotonic()
        while not (states := self.states(jobs)) or not done(states):
            assert time.monotonic() - began < within_s, (Counter(states), self.seen)
            time.sleep(AGAIN_S)
        return time.monotonic() - began

    def wait_until_ended(self, jobs: Sequence[Job]) -> float:
        return self.wait(jobs, lambda states: not UNFINISHED & set(states), ENDS_WITHIN_S)

    def longest_silence_s(self, going_on: Callable[[], bool], jobs: Sequence[Job]) -> float:
        """The longest time without an answer while something goes on, and until there is one."""
        longest, since = 0.0, time.monotonic()
        while True:
            answered = self.read(jobs[0].owner, f"/fetch/{jobs[0].id}", WAITED_S) is not None
            now = time.monotonic()
            longest = max(longest, now - since)
            if answered:
                since = now
                if not going_on():
                    return longest
            time.sleep(0.1)

    def sampled(self) -> dict[str, float]:
        """How many rows each pooled sampler has denoised a step."""
        counted = "comfyray_stage_batch_size_sum"
        headers = {"X-API-Key": self.keys[OWNERS[0]]}
        answer = httpx.get(f"{self.url}/metrics", headers=headers, timeout=30)
        text = answer.raise_for_status().text
        lines = [line for line in text.splitlines() if line.startswith(counted)]
        ours = [line for line in lines if 'stage="sample"' in line and float(line.split()[-1])]
        return {line.split('replica="')[1].split('"')[0]: float(line.split()[-1]) for line in ours}

    def check(self, jobs: Sequence[Job], bucket: Path) -> None:
        """None was lost, none doubled: one picture each, told of in one event, once recorded."""
        for job in jobs:
            answer = self.read(job.owner, f"/fetch/{job.id}")
            assert answer is not None
            assert answer["status"] == "success", answer
            (output,) = answer["outputs"]
            content = httpx.get(output["url"], timeout=60).content
            assert hashlib.sha256(content).hexdigest() == output["sha256"]
            (stored,) = (bucket / "outputs" / job.owner / str(job.id)).rglob("*.png")
            assert stored.name == output["filename"]
        self.receiver.wait_for([job.id for job in jobs], ENDS_WITHIN_S)
        told = [set(self.receiver.events[job.id]) for job in jobs]
        assert [len(events) for events in told] == [1] * len(jobs)
        assert len(set.union(*told)) == len(jobs)


def unlike(seen: Counter[str]) -> list[str]:
    """Answers that a client is not told to expect while something is away."""
    return [one for one in seen if one[0].isdigit() and not one.startswith("503")]
