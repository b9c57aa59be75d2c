"""Many jobs of several owners at once: is any lost, who waits for whom, what does it cost.

Usage: python -m benchmarks.queue http://127.0.0.1:8000 KEY KEY ... [--jobs 500] [--side 768]
    [--processes ray::]

Each key is of another owner; docs/measurements.md has the commands that make them. The owners post
their jobs one owner after the other, so that first come, first served would serve the last owner
last, through four connections each. The workflow needs no model; it blurs a picture of `side`
pixels, which is to take longer than posting does: fairness is looked at while every owner has jobs
that wait. Of the jobs begun in that time, it prints the most and the fewest of one owner.
"""

import argparse
import json
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil

from benchmarks.workflows import node

API = "/api/v7/comfyui"
CONNECTIONS = 4  # per owner
MIB = 2**20


def workflow(number: int, side: int) -> dict[str, Any]:
    """A blurred picture; no two are alike."""
    return {
        "1": node("EmptyImage", width=side, height=side, batch_size=1, color=number),
        "2": node("ImageBlur", image=["1", 0], blur_radius=15, sigma=5.0),
        "3": node("SaveImage", images=["2", 0], filename_prefix="queue"),
    }


def call(url: str, key: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, head), timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def post_all(base: str, key: str, numbers: range, side: int) -> list[int]:
    """The ids of the owner's jobs."""

    def post(number: int) -> int:
        body = {"workflow": workflow(number, side), "wait": 0}
        return int(call(f"{base}{API}/execute", key, body)["id"])

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(post, numbers))


def jobs_of(base: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = call(f"{base}{API}/jobs?limit=200&cursor={cursor}", key)
        found += page["jobs"]
        cursor = page["next_cursor"]
    return found


def service_mib(title: str) -> float:
    """What the processes of that title hold for themselves."""
    total = 0
    for process in psutil.process_iter(["cmdline"]):
        if title in " ".join(process.info["cmdline"] or ()):
            try:
                total += process.memory_full_info().uss
            except psutil.Error:
                continue
    return total / MIB


@contextmanager
def memory_watched(title: str) -> Iterator[list[float]]:
    """MiB, every two seconds."""
    seen, over = [service_mib(title)], threading.Event()

    def look() -> None:
        while not over.wait(2.0):
            seen.append(service_mib(title))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        seen.append(service_mib(title))


def fairness(jobs: Mapping[str, list[dict[str, Any]]], all_posted: str) -> tuple[int, int, int]:
    """Jobs begun while every owner waits: how many, and the most and the fewest of one owner."""
    ends = min(max(job["started_at"] or "" for job in theirs) for theirs in jobs.values())
    begun = Counter(
        owner
        for owner, theirs in jobs.items()
        for job in theirs
        if all_posted < (job["started_at"] or "") < ends
    )
    counts = [begun[owner] for owner in jobs]
    return sum(counts), max(counts), min(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("keys", nargs="+")
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--side", type=int, default=768, help="of the pictures, in pixels")
    parser.add_argument("--processes", default="ray::", help="in the titles of the service's")
    given = parser.parse_args()
    each = given.jobs // len(given.keys)
    with memory_watched(given.processes) as mib:
        began, posted = time.time(), {}
        for k, key in enumerate(given.keys):
            posted[key] = post_all(given.base, key, range(k * each, (k + 1) * each), given.side)
        posted_s = time.time() - began
        all_posted = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        jobs = {key: jobs_of(given.base, key) for key in given.keys}
        while any(job["ended_at"] is None for theirs in jobs.values() for job in theirs):
            time.sleep(2)
            jobs = {key: jobs_of(given.base, key) for key in given.keys}
        all_s = time.time() - began
    lost = [i for key in given.keys for i in set(posted[key]) - {job["id"] for job in jobs[key]}]
    states = Counter(job["status"] for theirs in jobs.values() for job in theirs)
    begun, most, fewest = fairness(jobs, all_posted)
    print(
        f"{each * len(given.keys)} jobs posted in {posted_s:.1f} s, all ended after {all_s:.1f} s"
    )
    print(f"lost: {len(lost)}; states: {dict(states)}")
    print(f"begun while all waited: {begun}; of one owner {fewest} to {most}")
    print(f"MiB before {mib[0]:.0f}, most {max(mib):.0f}, after {mib[-1]:.0f}")


if __name__ == "__main__":
    main()
