"""Measures errors: of a network's outputs, and of each layer by itself."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fastcnn.ir.graph import Graph
from fastcnn.ir.record import dataclass
from fastcnn.precision.calibrate import Feeds, Run

Values = Sequence[Sequence[np.ndarray]]          # of each sample, those of a Watch in order
# Functions that are flat where networks are sure of themselves, as on data that they were trained with: their largest slope, from one
# input to one output where all may be off by as much.
SLOPES = {"Softmax": 0.5, "Sigmoid": 0.25, "HardSigmoid": 1.0, "Tanh": 1.0}
MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")


@dataclass(frozen=True)
class Watch:
    """The values by which two networks are compared: outputs and, where an output ends in a Softmax or Sigmoid, the input of that.

    before  (place among outputs, largest slope) of each value that is watched besides
    """

    outputs: tuple[str, ...]
    inner: tuple[str, ...]
    before: tuple[tuple[int, float], ...]

    def values(self, run: Run, samples: Sequence[Feeds], guarded: bool = True) -> Values:
        """The watched values of a network for each sample; guarded: inner values too."""
        names = [*self.outputs, *self.inner] if guarded and self.inner else ()
        return [[np.asarray(y) for y in run(names, feeds)] for feeds in samples]

    def error(self, found: Values, exact: Values, weight: float = 1.0) -> float:
        """max |y - exact| / max |exact|, the largest of all outputs of floats and samples; infinite where one is not finite.

        With inner values: at least `weight` times what their difference comes to where the function behind them is steepest, whatever
        these samples are.
        """
        worst, count = 0.0, len(self.outputs)
        for ours, theirs in zip(found, exact):
            worst = max([worst, *(relative(y, z) for y, z in zip(ours[:count], theirs) if z.dtype.kind == "f")])
            for y, z, (place, slope) in zip(ours[count:], theirs[count:], self.before):
                largest = float(np.abs(theirs[place]).max(initial=0.0))
                apart = relative(y, z) * float(np.abs(z).max(initial=0.0))
                worst = max(worst, weight * slope * apart / largest if largest else 0.0)
        return worst


def watch(graph: Graph) -> Watch:
    """The Watch of a graph's outputs."""
    producers, inner, before = graph.producers(), list[str](), list[tuple[int, float]]()
    names = tuple(info.name for info in graph.outputs)
    for place, name in enumerate(names):
        node = producers.get(name)
        while node is not None and node.op_type in MOVES:
            node = producers.get(node.inputs[0])
        if node is not None and node.op_type in SLOPES and not node.domain and node.inputs[0] in producers:
            inner.append(node.inputs[0])
            before.append((place, SLOPES[node.op_type]))
    return Watch(names, tuple(inner), tuple(before))


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
