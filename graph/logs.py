"""JSON logs: one object a line, with the job and the owner it is about.

What callers wrote (prompts, workflows, keys) is never logged; modules see to that where they log.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

LogFormat = Literal["text", "json"]
PACKAGES = ("api", "deployments", "diffusion", "graph", "imaging", "preprocessors", "storage")
ABOUT: ContextVar[dict[str, Any]] = ContextVar("comfyray_log_about")
PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def about(**facts: Any) -> Iterator[None]:
    """Every line that is logged inside, by tasks begun there too, has these facts."""
    token = ABOUT.set({**ABOUT.get({}), **facts})
    try:
        yield
    finally:
        ABOUT.reset(token)


class JsonLines(logging.Formatter):
    """A record as one line: its standard fields, `extra`, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": os.getpid(),
            **ABOUT.get({}),
            **{name: value for name, value in vars(record).items() if name not in PLAIN},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up_logs(format_: LogFormat) -> None:
    """Have this process log in a format. "text" leaves logging as it was found."""
    if format_ == "text":
        return
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
