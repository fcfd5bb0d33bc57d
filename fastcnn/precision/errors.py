"""Errors: of one layer by itself, of a network's outputs."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fastcnn.precision.calibrate import Feeds, Run

Outputs = Sequence[Sequence[np.ndarray]]          # of each sample, the outputs in order


def outputs_of(run: Run, samples: Sequence[Feeds]) -> Outputs:
    """What a network makes of each sample."""
    return [[np.asarray(y) for y in run((), feeds)] for feeds in samples]


def output_error(found: Outputs, exact: Outputs) -> float:
    """max |y - exact| / max |exact|, the largest of all outputs of floats and samples; infinite where one is not finite."""
    worst = 0.0
    for ours, theirs in zip(found, exact):
        for y, reference in zip(ours, theirs):
            if reference.dtype.kind == "f":
                worst = max(worst, relative(y, reference))
    return worst


def relative(y: np.ndarray, exact: np.ndarray) -> float:
    """max |y - exact| / max |exact|; of values that are no numbers in the reference nothing is asked."""
    if y.shape != exact.shape:
        return float("inf")             # as many as the data decide, and they have decided otherwise
    numbers = np.isfinite(exact)
    apart = np.abs(y[numbers].astype(np.float64) - exact[numbers])
    largest = float(np.abs(exact[numbers]).max(initial=0.0))
    error = float(apart.max(initial=0.0)) / largest if largest else float(apart.any())
    return error if np.isfinite(error) else float("inf")


def layer_errors(run: Run, samples: Sequence[Feeds], twins: Mapping[str, tuple[str, str]]) -> dict[str, float]:
    """Layer -> root mean square of the difference of two values over that of the first. twins: layer -> their names."""
    squares, differences = dict.fromkeys(twins, 0.0), dict.fromkeys(twins, 0.0)
    names = list(dict.fromkeys(name for pair in twins.values() for name in pair))
    for feeds in samples:
        values = dict(zip(names, run(names, feeds)))
        for layer, (exact, stored) in twins.items():
            y = values[exact].astype(np.float64)
            squares[layer] += float(np.square(y).sum())
            differences[layer] += float(np.square(values[stored] - y).sum())
    return {layer: float(np.sqrt(differences[layer] / squares[layer])) if squares[layer] else 0.0 for layer in twins}
