"""The last guard of load() and run(): an exception that nothing else caught becomes one of fastcnn's errors and names the node."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from fastcnn.ir.errors import FastCNNError
from fastcnn.ir.graph import Node


def unforeseen(error: Exception, kind: type[FastCNNError]) -> Exception:
    """The error to raise: fastcnn's own errors, MemoryError and warnings stay as they are; any other becomes a `kind` and is logged.

    The message names the node that the innermost frame of the traceback was working on.
    """
    if isinstance(error, (FastCNNError, MemoryError, Warning)):
        return error
    node = next(_nodes(error.__traceback__), None)
    text = f"{node.where() + ': ' if node is not None else ''}{type(error).__name__}: {error}"
    import logging  # 3 ms that a program without such errors never needs
    logging.getLogger("fastcnn").error("unforeseen: %s", text, exc_info=error)
    return kind(text)


@contextmanager
def foreseen(kind: type[FastCNNError]) -> Iterator[None]:
    """Context manager: errors of the block are raised as unforeseen() returns them."""
    try:
        yield
    except Exception as error:
        found = unforeseen(error, kind)
        if found is error:
            raise
        raise found from error


def _nodes(trace: TracebackType | None) -> Iterator[Node]:
    """Nodes found in local variables of the traceback's frames (directly, or as an object's `node`), innermost frame first."""
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        held = frame.f_locals
        for name in ("node", "n", "b", "bound_node", "args", "low", "self", "e"):
            value = held.get(name)
            found = value if isinstance(value, Node) else getattr(value, "node", None)
            if isinstance(found, Node):
                yield found
