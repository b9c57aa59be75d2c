"""A log line for each job that ended: owner, size, models, time, outcome. Never a prompt."""

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from storage.jobs.records import JobRecord
from storage.models.files import EXTENSIONS

LOG = logging.getLogger(__name__)
NAMES = ("_name", "_name1", "_name2", "_name3", "_name4", "_file")  # inputs that choose a file


def model_names(prompt: Mapping[str, Any]) -> list[str]:
    """The model files that the nodes of a workflow in API format choose, each once."""
    return list(dict.fromkeys(_chosen(prompt)))


def _chosen(prompt: Mapping[str, Any]) -> Iterator[str]:
    nodes = (node for node in prompt.values() if isinstance(node, Mapping))
    for node in nodes:
        for name, value in node.get("inputs", {}).items():
            is_choice = name.endswith(NAMES) and isinstance(value, str)
            if is_choice and PurePath(value).suffix.lower() in EXTENSIONS:
                yield value


def log_end(record: JobRecord) -> None:
    """One line for a job that ended here."""
    began_s, ended_s = record.started_s or record.created_s, record.ended_s or record.created_s
    kept = record.answer or {}
    facts = {
        "job": record.id,
        "owner": record.owner,
        "status": record.status,
        "queued_s": round(began_s - record.created_s, 3),
        "run_s": round(ended_s - began_s, 3),
        "nodes": kept.get("node_count", 0),
        "models": kept.get("models", []),
    }
    LOG.info("job ended", extra=facts)


class JobLine(logging.Formatter):
    """An ended job as a line for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        job = vars(record)
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        waited = f" after {job['queued_s']:.1f} s in the queue" if job["queued_s"] >= 0.1 else ""
        models = f"  {', '.join(job['models'])}" if job["models"] else ""
        size = f"{job['nodes']} nodes" if job["nodes"] else "not started"
        return (
            f"{moment}  job {job['job']}  {job['owner']}  {size}  {job['run_s']:.1f} s{waited}  "
            f"{job['status']}{models}"
        )


def write_job_lines(file: Path) -> None:
    """Have this process append a line to `file` for each job that ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(JobLine())
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
