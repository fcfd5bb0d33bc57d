"""Calibration: records ranges and histograms of values while data streams through the float network, in bounded memory."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastcnn.ir.errors import ConfigurationError, warn_user
from fastcnn.precision.histogram import Histogram
from fastcnn.precision.products import CONVOLUTIONS
from fastcnn.precision.ranges import METHODS
from fastcnn.precision.regions import CONCAT, MOVE, Regions
from fastcnn.precision.scales import Memo, Scale, value_scale

Feeds = Mapping[str, Any]
# The values of these names for these feeds; no names: the outputs.
Run = Callable[[Sequence[str], Feeds], Sequence[np.ndarray]]
Progress = Callable[[str, int, "int | None"], None]

SAMPLES, SAMPLE_BYTES = 32, 64 << 20        # feeds that are kept to measure errors with, at most


@dataclass
class Observed:
    """Statistics of the values that are to become bytes.

    means    of inputs of products, a channel each
    shapes   of values, of the first feeds
    samples  some of the feeds
    batches  feeds there were
    """

    histograms: dict[str, Histogram] = field(default_factory=dict)
    means: dict[str, np.ndarray] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    samples: list[Feeds] = field(default_factory=list)
    batches: int = 0


def observed(run: Run, data: Iterable[Feeds], total: int | None, found: Regions, progress: Progress) -> Observed:
    """Runs the float network on all data and watches the values that are to be bytes.

    Raises ConfigurationError where there is no data, or some of it is no finite number. Warns where all of it is one number.
    """
    varied = False
    seen, sums, kept = Observed({v: Histogram() for v in found.stored}), dict[str, np.ndarray](), 0
    channels = {node.input(0): 1 if node.op_type in CONVOLUTIONS else -1 for node in found.products()}
    names, counts = sorted(found.stored), dict.fromkeys(channels, 0)
    for feeds in data:
        varied |= _varies(feeds, seen.batches)
        values = dict(zip(names, run(names, feeds)))
        seen.shapes = seen.shapes or {name: x.shape for name, x in values.items()}
        for name, x in values.items():
            seen.histograms[name].add(x)
        for name, axis in channels.items():
            x = values[name]
            counts[name] += x.size // x.shape[axis] if x.size else 0
            sums[name] = sums.get(name, 0) + x.sum(tuple(k for k in range(x.ndim) if k != axis % x.ndim), dtype=np.float64)
        size = sum(np.asarray(x).nbytes for x in feeds.values())
        if len(seen.samples) < SAMPLES and (not seen.samples or kept + size <= SAMPLE_BYTES):
            seen.samples.append({name: np.array(x) for name, x in feeds.items()})
            kept += size
        seen.batches += 1
        progress("calibration", seen.batches, total)
    if not seen.batches:
        raise ConfigurationError("data: nothing to calibrate with")
    if not varied:
        warn_user("data: each input holds the same number everywhere; ranges from it fit no other data", RuntimeWarning)
    seen.means = {name: summed / max(counts[name], 1) for name, summed in sums.items()}
    return seen


def _varies(feeds: Feeds, number: int) -> bool:
    """Whether some input holds different numbers. Raises ConfigurationError for NaN and infinities."""
    arrays = {name: np.asarray(x) for name, x in feeds.items()}
    for name, x in arrays.items():
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise ConfigurationError(f"data: feed {number}: input {name!r} holds NaN or infinite numbers")
    return any(x.size > 0 and bool((x != x.reshape(-1)[0]).any()) for x in arrays.values())


def scales_of(found: Regions, seen: Observed, method: str, kind: str, memo: Memo | None = None) -> dict[str, Scale]:
    """The scale of every stored value. Raises ConfigurationError for a method or a type that is none. memo: keeps ranges."""
    memo = Memo() if memo is None else memo
    if method not in METHODS:
        raise ConfigurationError(f"method={method!r}: expected one of {', '.join(METHODS)}")
    same, inputs = _sharing(found), {info.name for info in found.graph.inputs}
    ranges, scales = dict[str, Scale](), dict[str, Scale]()
    for value in sorted(found.stored):
        root = value
        while root in same:
            root = same[root]
        if root not in ranges:
            comb = method == "entropy" and root in inputs           # pixels have few values, far apart: no distribution to compare
            key = ("range", root, "minmax" if comb else method)
            if key not in memo:
                memo[key] = METHODS[key[-1]](seen.histograms[root])
            low, high = memo[key]
            ranges[root] = value_scale(low, high, kind)
        scales[value] = ranges[root]
    return scales


def _sharing(found: Regions) -> dict[str, str]:
    """Value -> another whose scale it has: what moves has that of its source, what is only joined to others that of the whole."""
    graph, same = found.graph, dict[str, str]()
    readers = graph.consumers()
    for node in graph.nodes:
        if found.kind(node) == MOVE:
            same.update((v, node.inputs[0]) for v in node.outputs if v)
    for node in graph.nodes:
        if found.kind(node) == CONCAT:
            alone = (v for v in node.inputs if len(readers[v]) == 1 and v not in graph.output_names() | found.rounded)
            same.update((v, node.outputs[0]) for v in alone if v not in same)
    return same

