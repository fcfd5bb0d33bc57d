"""The errors of fastcnn. All derive from FastCNNError; their messages name node, operator, attribute and value."""
from __future__ import annotations

import sys
import warnings

PACKAGE = __name__.partition(".")[0]


class FastCNNError(Exception):
    """Base of all errors of this package."""


class ModelError(FastCNNError):
    """The model is not readable ONNX or contradicts itself; raised by load()."""


class FormatError(ModelError):
    """The file is missing, is no ONNX message, or is cut off."""


class UnsupportedOperatorError(ModelError):
    """No native kernel and no reference implementation computes this operator."""


class ShapeError(FastCNNError):
    """The shapes of a node's inputs do not fit its operator."""


class InputError(FastCNNError, ValueError):
    """An array fed to run() does not fit its input: name, dtype, rank or extent."""


class LimitError(FastCNNError):
    """The model asks for more memory, nodes or steps than it may have (load(max_memory=))."""


class TimeLimitError(LimitError, TimeoutError):
    """A run took longer than its timeout."""


class OverloadedError(FastCNNError):
    """A batcher's queue is full: max_queue requests are waiting."""


class ExecutionError(FastCNNError, RuntimeError):
    """A step failed during a run: an index out of range, a fallback that raised."""


class ConfigurationError(FastCNNError, ValueError):
    """An option or an environment variable has a value that is not allowed or has no effect here."""


def warn_user(message: str, category: type[Warning]) -> None:
    """Issues a UserWarning attributed to the user's line that called into this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
