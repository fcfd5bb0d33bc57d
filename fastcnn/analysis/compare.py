"""Compare: a model beside another engine, another precision or another model, value by value in the order of its layers."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastcnn.analysis.origins import origins
from fastcnn.analysis.text import plain_table
from fastcnn.ir.errors import ConfigurationError
from fastcnn.ir.graph import Graph
from fastcnn.plan.executor import Engine
from fastcnn.reference import evaluate_graph

COLUMNS = ("value", "layer", "operator", "shape", "largest difference", "of the largest", "ULP", "cosine", "beyond")
TOLERANCE = 1e-4                # of the largest value of the reference
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """The differences of one value between the two sides.

    layer, op_type, nodes   what makes it here; the nodes of the file that it stands for
    absolute, relative      largest |a - b|; that over the largest |b|
    ulp                     largest number of floats of the reference's type between a and b
    cosine                  of the angle between them; 1 where both are 0
    beyond                  whether relative passes the tolerance, shapes differ, or only one is finite
    """

    value: str
    layer: str
    op_type: str
    nodes: tuple[str, ...]
    shape: tuple[int, ...]
    absolute: float
    relative: float
    ulp: float
    cosine: float
    beyond: bool


@dataclass(frozen=True)
class Comparison:
    """The differences of all values. first: the first one beyond the tolerance, in the order of the layers, or None."""

    against: str
    tolerance: float
    values: tuple[Difference, ...]
    outputs: tuple[str, ...]

    @property
    def first(self) -> Difference | None:
        return next((value for value in self.values if value.beyond), None)

    @property
    def agrees(self) -> bool:
        return self.first is None

    def rows(self) -> list[list[str]]:
        """A row of COLUMNS for each value."""
        return [[d.value, d.layer, d.op_type, "x".join(map(str, d.shape)), f"{d.absolute:.3g}", f"{d.relative:.3g}", f"{d.ulp:.3g}",
                 f"{d.cosine:.8f}", "beyond" if d.beyond else ""] for d in self.values]

    def lines(self) -> list[str]:
        """The lines below the table."""
        worst = max(self.values, key=lambda d: d.relative, default=None)
        lines = [f"{len(self.values)} values against {self.against}; the largest difference is {worst.relative:.3g} of the largest value, "
                 f"at {worst.value!r}" if worst else "no value is in both"]
        first = self.first
        if first is None:
            return [*lines, f"all within {self.tolerance:g}"]
        return [*lines, f"warning: the first beyond {self.tolerance:g} is {first.value!r}, made by {first.op_type} {first.layer!r} of the "
                f"nodes {', '.join(first.nodes) or 'unknown'}"]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "first": self.first.value if self.first else None, "agrees": self.agrees}

    def __str__(self) -> str:
        return "\n".join([plain_table(COLUMNS, self.rows()), "", *self.lines()])


def compare(graph: Graph, engine: Engine, run: Callable[[Sequence[str]], Sequence[Any]], theirs: Callable[[Sequence[str]], Values],
            against: str, tolerance: float = TOLERANCE) -> Comparison:
    """Compares the values of all layers, and the outputs of an ordinary run, with those of another side.

    run     function of names: our values, which are then not fused away; without names: the outputs of an ordinary run
    theirs  the same of the other side, which may leave out values that it does not have
    """
    if not tolerance >= 0:
        raise ConfigurationError(f"tolerance={tolerance!r}: expected a number that is not negative")
    outputs = [info.name for info in graph.outputs]
    known = {name for node in graph.nodes for name in node.outputs}
    nodes = engine.graph.nodes
    made = {node.outputs[0]: (node, origin) for node, origin in zip(nodes, origins(graph, nodes))
            if node.outputs and node.outputs[0] in known}
    inner = [name for name in made if name not in outputs]
    reference = theirs([*inner, *outputs])
    inner = [name for name in inner if isinstance(reference.get(name), np.ndarray)]
    ours = dict(zip(inner, run(inner))) if inner else {}
    ours |= dict(zip(outputs, run(())))
    found = []
    for name in [*inner, *outputs]:
        if isinstance(reference.get(name), np.ndarray) and isinstance(ours[name], np.ndarray):
            node, origin = made.get(name, (None, None))
            names = tuple(part.name for part in origin.nodes) if origin else ()
            found.append(difference(ours[name], reference[name], tolerance, name, node.name if node else "", node.op_type if node else "",
                                    names))
    return Comparison(against, tolerance, tuple(found), tuple(outputs))


def by_reference(graph: Graph, feeds: Values) -> Callable[[Sequence[str]], Values]:
    """Computes values of the original graph by fastcnn.reference: numpy, operator by operator."""
    return lambda names: evaluate_graph(graph, feeds, list(names))


def difference(a: np.ndarray, b: np.ndarray, tolerance: float, value: str = "", layer: str = "", op_type: str = "",
               nodes: tuple[str, ...] = ()) -> Difference:
    """The Difference of an array from the reference array."""
    if a.shape != b.shape or a.dtype.kind in "OSU" or b.dtype.kind in "OSU":
        same = a.shape == b.shape and bool((a == b).all())
        figures = (0.0, 0.0, 0.0, 1.0) if same else (np.inf, np.inf, np.inf, 0.0)
        return Difference(value, layer, op_type, nodes, a.shape, *figures, not same)
    x, y = a.astype(np.float64), b.astype(np.float64)
    equal = (x == y) | (np.isnan(x) & np.isnan(y))
    odd = bool((~equal & ~(np.isfinite(x) & np.isfinite(y))).any())
    x, y = np.where(equal | ~np.isfinite(x), 0 if odd else np.where(np.isfinite(y), y, 0), x), np.where(np.isfinite(y), y, 0)
    apart = np.abs(x - y)
    absolute, largest = float(apart.max(initial=0.0)), float(np.abs(y).max(initial=0.0))
    relative = absolute / largest if largest else (0.0 if absolute == 0 else np.inf)
    kind = b.dtype if b.dtype.kind == "f" else np.dtype(np.float32)
    steps = apart / np.spacing(np.maximum(np.abs(y), np.finfo(kind).tiny).astype(kind)).astype(np.float64)
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    cosine = float(np.dot(x.ravel(), y.ravel()) / size) if size else float(absolute == 0)
    if odd:
        absolute = relative = np.inf
    return Difference(value, layer, op_type, nodes, a.shape, absolute, float(relative), float(steps.max(initial=0.0)), cosine,
                      bool(relative > tolerance))
