"""ExecutionBlocker, which keeps what follows from running."""


class ExecutionBlocker:
    """Returned as an output. With a message, that is told as an error of the node that follows."""

    def __init__(self, message: str | None) -> None:
        self.message = message
