"""Errors that nobody foresaw: the last guard of load() and run() makes them ours, and logs them."""
from __future__ import annotations

import logging


class Unforeseen(logging.Handler):
    """Keeps what the logger of the package says of them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []
        logger = logging.getLogger("fastcnn")
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())

    def taken(self) -> str:
        """The first since the last call, "" when there was none."""
        first = self.seen[0] if self.seen else ""
        self.seen.clear()
        return first
