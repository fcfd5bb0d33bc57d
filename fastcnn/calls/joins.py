"""Decides whether requests of a model may run as one batch: only where each image is provably computed by itself."""
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import ValueInfo
from fastcnn.ir.spec import Spec
from fastcnn.plan.executor import Engine
from fastcnn.plan.joining import mixing


def joins(engine: Engine, inputs: Sequence[ValueInfo], feeds: Mapping[str, Any]) -> bool:
    """Whether several images of these shapes may be one batch; the log says why not."""
    fixed = [info.name for info in inputs if info.shape and isinstance(info.shape[0], int)]
    computed_as = {name: np.dtype(np.float32) if array.dtype.kind == "V" else array.dtype for name, array in feeds.items()}      # bfloat16
    specs = {name: Spec(computed_as[name], array.shape) for name, array in feeds.items()}
    reason = f"input {fixed[0]!r} has a fixed first axis" if fixed else mixing(engine, specs)
    if reason is not None:
        logging.getLogger("fastcnn").info("requests are not joined to batches: %s", reason)
    return reason is None
