"""The last guard of load() and run(): what nobody foresaw comes out as an error of ours that names the node it happened at."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from fastcnn.ir.errors import FastCNNError
from fastcnn.ir.graph import Node


def unforeseen(error: Exception, kind: type[FastCNNError]) -> Exception:
    """The error as it is to be raised: ours, out of memory and warnings made errors as they are, all others as `kind`, logged.

    The node is the one that the innermost call was at work on.
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
    """A block whose errors are as unforeseen() makes them."""
    try:
        yield
    except Exception as error:
        found = unforeseen(error, kind)
        if found is error:
            raise
        raise found from error


def _nodes(trace: TracebackType | None) -> Iterator[Node]:
    """The nodes that the frames of a traceback hold in a variable `node`, or of an object in self or args, innermost first."""
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
