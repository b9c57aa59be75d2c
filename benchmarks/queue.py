"""Many jobs of several owners at once: is any lost, who waits for whom, what does it cost.

Usage: python -m benchmarks.queue http://127.0.0.1:8000 KEY KEY ... [--jobs 500] [--rounds 1]
    [--steps 4] [--processes comfyray:Router comfyray:Stages]

Each key is of another owner; docs/measurements.md has the commands that make them. The owners post
their jobs one owner after the other, so that first come, first served would serve the last owner
last, through four connections each. A job is a picture of the model that comes along, of so few
steps that it just takes longer than posting does: fairness is looked at while every owner has jobs
that wait. It prints how many jobs of each owner began in that time, in the order in which they
posted; and all the while, what those processes hold that have the given words in their titles.
"""

import argparse
import json
import os
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import psutil

API = "/api/v7/comfyui"
WORKFLOW = Path(__file__).resolve().parent.parent / "examples" / "text_to_image.json"
CONNECTIONS = 4  # per owner
TOLD_EVERY_S = 20.0
MIB = 2**20

Jobs: TypeAlias = Mapping[str, list[dict[str, Any]]]  # by key


def workflow(number: int, steps: int) -> dict[str, Any]:
    """A picture of a seed of its own."""
    document: dict[str, Any] = json.loads(WORKFLOW.read_text())
    document["5"]["inputs"] |= {"seed": number, "steps": steps}
    return document


def call(url: str, key: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, head), timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@dataclass(frozen=True)
class Round:
    """Jobs of every owner; `number` makes them unlike those of other rounds."""

    base: str
    keys: list[str]
    each: int
    steps: int
    number: int

    def run(self) -> None:
        """Post, wait for all, and print what came of it."""
        began = time.time()
        posted = {key: self._post_all(k, key) for k, key in enumerate(self.keys)}
        posted_s = time.time() - began
        all_posted = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        jobs = self._found(posted)
        while any(job["ended_at"] is None for theirs in jobs.values() for job in theirs):
            time.sleep(2)
            jobs = self._found(posted)
        count, ended_s = self.each * len(self.keys), time.time() - began
        lost = count - sum(map(len, jobs.values()))
        states = Counter(job["status"] for theirs in jobs.values() for job in theirs)
        begun = [str(many) for many in begun_while_all_wait(jobs, all_posted).values()]
        print(
            f"{count} jobs posted in {posted_s:.1f} s, all ended after {ended_s:.1f} s\n"
            f"lost: {lost}; states: {dict(states)}\n"
            f"begun while all waited, by owner: {', '.join(begun)}"
        )

    def _post_all(self, owner: int, key: str) -> set[int]:
        """The ids of an owner's jobs."""
        first = (self.number * len(self.keys) + owner) * self.each

        def post(seed: int) -> int:
            body = {"workflow": workflow(seed, self.steps), "wait": 0}
            return int(call(f"{self.base}{API}/execute", key, body)["id"])

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return set(pool.map(post, range(first, first + self.each)))

    def _found(self, posted: Mapping[str, set[int]]) -> Jobs:
        """As they stand, by key: those of the posted jobs that are there."""
        return {
            key: [job for job in jobs_of(self.base, key) if job["id"] in posted[key]]
            for key in self.keys
        }


def jobs_of(base: str, key: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = call(f"{base}{API}/jobs?limit=200&cursor={cursor}", key)
        yield from page["jobs"]
        cursor = page["next_cursor"]


def begun_while_all_wait(jobs: Jobs, all_posted: str) -> dict[str, int]:
    """How many jobs of each owner began between the last posted and an owner's last begun."""
    ends = min(max(job["started_at"] or "" for job in theirs) for theirs in jobs.values())
    return {
        owner: sum(all_posted < (job["started_at"] or "") < ends for job in theirs)
        for owner, theirs in jobs.items()
    }


def own_mib(title: str) -> float:
    """What the processes of that title hold for themselves; memory that they share is not in it."""
    total = 0
    for process in psutil.process_iter(["cmdline"]):
        if process.pid != os.getpid() and title in " ".join(process.info["cmdline"] or ()):
            try:
                total += process.memory_full_info().uss
            except psutil.Error:
                continue
    return total / MIB


@contextmanager
def memory_told(titles: list[str]) -> Iterator[None]:
    """Prints it now, every so often, and at the end."""
    began, over = time.monotonic(), threading.Event()

    def tell() -> None:
        held = ", ".join(f"{title} {own_mib(title):.0f} MiB" for title in titles)
        print(f"  {time.monotonic() - began:4.0f} s: {held}", flush=True)

    def watch() -> None:
        while not over.wait(TOLD_EVERY_S):
            tell()

    tell()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        tell()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("keys", nargs="+")
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4, help="of each picture")
    parser.add_argument("--processes", nargs="+", default=["comfyray:Router", "comfyray:Stages"])
    given = parser.parse_args()
    each = given.jobs // len(given.keys)
    with memory_told(given.processes):
        for number in range(given.rounds):
            Round(given.base, given.keys, each, given.steps, number).run()


if __name__ == "__main__":
    main()
