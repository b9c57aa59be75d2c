"""The process that decodes callers' pictures.

A request on stdin is a line of JSON, {"task", "how", "sizes", "memory_bytes", "cpu_s"}, and then
files of those sizes; the answer on stdout a line of JSON with the facts and "size", and then so
many bytes. JSON, because whoever breaks a decoder must not reach the router through a pickle. It
ends with its stdin, when a task takes too much of the processor, and after one that took much
memory, which so comes back.
"""

import json
import os
import resource
import sys
from typing import Any

from storage.picture_processes.tasks import TASKS, Answer, RefusedError
from storage.process_limits import limited, peak_bytes

NICE = 10  # those who wait for jobs go first
MOST_KEPT_BYTES = 400 * 2**20  # of memory used at once, after which the process is replaced


def main() -> None:
    """Answer requests until there are no more."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := requests.readline():
        request = json.loads(line)
        contents = [requests.read(size) for size in request["sizes"]]
        with limited(request["memory_bytes"], request["cpu_s"]):
            facts, content = answer(request, contents)
        last = peak_bytes() > MOST_KEPT_BYTES
        head = json.dumps(facts | {"size": len(content), "last": last}) + "\n"
        answers.write(head.encode() + content)
        answers.flush()
        if last:
            return


def answer(request: dict[str, Any], contents: list[bytes]) -> Answer:
    """What a task gives, or why it refuses. A decoder may raise anything: the file is at fault."""
    try:
        return TASKS[request["task"]](*contents, **request["how"])
    except RefusedError as error:
        return {"error": error.error, "facts": error.facts}, b""
    except MemoryError:
        return {"error": "NoPictureError", "facts": {"problem": "it takes too much memory"}}, b""
    except Exception as error:  # noqa: BLE001 - see above
        problem = str(error).partition("<")[0].strip()[:200] or type(error).__name__
        return {"error": "NoPictureError", "facts": {"problem": problem}}, b""


if __name__ == "__main__":
    main()
