"""Errors that are answered with an HTTP status."""
from __future__ import annotations

from fastcnn.ir.errors import (
    ExecutionError,
    InputError,
    LimitError,
    OverloadedError,
    ShapeError,
    TimeLimitError,
)


class RequestError(Exception):
    """The HTTP status and one sentence for the client."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


# The errors of a run -> HTTP status; the first that fits.
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (TimeLimitError, 504), (OverloadedError, 429), (LimitError, 413), (InputError, 400), (ShapeError, 400), (ExecutionError, 422))


def as_request_error(error: Exception) -> RequestError | None:
    """The RequestError for an exception; None where the exception is a fault of the server."""
    if isinstance(error, RequestError):
        return error
    status = next((status for kind, status in STATUS if isinstance(error, kind)), None)
    return RequestError(status, " ".join(str(error).split())) if status is not None else None
