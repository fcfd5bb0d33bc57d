"""Every error fastcnn raises on purpose derives from FastCNNError; its message names node, operator, attribute and value."""
from __future__ import annotations

import sys
import warnings

PACKAGE = __name__.partition(".")[0]


class FastCNNError(Exception):
    """Base of all errors of this package."""


class ModelError(FastCNNError):
    """The model is not readable ONNX or contradicts itself; raised by load()."""


class FormatError(ModelError):
    """The file is missing, or its bytes are no ONNX message, or cut off."""


class UnsupportedOperatorError(ModelError):
    """No native kernel and no reference implementation computes this operator."""


class ShapeError(FastCNNError):
    """The shapes of a node's inputs do not fit its operator."""


class InputError(FastCNNError, ValueError):
    """What was fed to run() does not fit: name, dtype, rank or extent."""


class LimitError(FastCNNError):
    """The model asks for more memory, nodes or steps than it may have (load(max_memory=))."""


class TimeLimitError(LimitError, TimeoutError):
    """A run took longer than its timeout."""


class OverloadedError(FastCNNError):
    """As many requests wait already as may."""


class ExecutionError(FastCNNError, RuntimeError):
    """A step failed while it ran (an index out of range, a fallback that raised)."""


class ConfigurationError(FastCNNError, ValueError):
    """An option or an environment variable has a value that means nothing here."""


def warn_user(message: str, category: type[Warning]) -> None:
    """A warning that points to the line outside of this package that called into it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
