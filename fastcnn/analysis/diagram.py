"""Diagram: the network of the file and the network that runs, as plain data, as SVG, and for Model Explorer."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from fastcnn.analysis.records import Layer
from fastcnn.analysis.text import operator
from fastcnn.ir.graph import Graph, Node

BOX, ROOM, ROW = 210, 18, 58     # width of a box, room between boxes, height of a row


@dataclass(frozen=True)
class Box:
    """A node. reads: the boxes, by index, whose outputs it takes; step: boxes with the same number run as one; ms: by a profile."""

    name: str
    label: str
    shape: tuple[int, ...] | None
    reads: tuple[int, ...]
    step: int
    algorithm: str
    nodes: tuple[str, ...]
    ms: float | None


@dataclass(frozen=True)
class Diagram:
    """The network twice. before: the file's nodes; after: the layers that run."""

    model: str
    before: tuple[Box, ...]
    after: tuple[Box, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def explorer(self) -> dict[str, Any]:
        """JSON for Model Explorer: two graphs; nodes that run as one step form a group."""
        return {"graphs": [{"id": name, "nodes": [_explored(k, box, boxes) for k, box in enumerate(boxes)]}
                           for name, boxes in (("as it runs", self.after), ("as in the file", self.before))]}

    def svg(self) -> str:
        """The network that runs, as SVG: rows by distance from the inputs; equal frame colours mark one step, the shade its time."""
        return boxes_svg(self.after)


def diagram(before: Graph, after: Sequence[Node], layers: Sequence[Layer], times: Mapping[str, float] | None = None) -> Diagram:
    """after, layers: the optimised nodes and the rows of the summary, one for each; times: ms by the name of a layer that leads a step."""
    times = times or {}
    leaders: dict[int, str] = {}
    for layer in layers:
        leaders.setdefault(layer.step, layer.name)
    ran = _boxes(after, [(operator(layer), layer.shape, layer.step, layer.algorithm, layer.nodes,
                          times.get(layer.name) if leaders[layer.step] == layer.name else None) for layer in layers])
    read = _boxes(before.nodes, [(node.op_type, _sizes(before, node), -1, "", (node.name,), None) for node in before.nodes])
    return Diagram(before.name, tuple(read), tuple(ran))


def _sizes(graph: Graph, node: Node) -> tuple[int, ...] | None:
    shape = graph.shapes.get(node.outputs[0]) if node.outputs else None
    return None if shape is None or not all(isinstance(d, int) for d in shape) else tuple(d for d in shape if isinstance(d, int))


def _boxes(nodes: Sequence[Node], facts: Sequence[tuple[Any, ...]]) -> list[Box]:
    makers = {name: k for k, node in enumerate(nodes) for name in node.outputs if name}
    return [Box(node.name, label, shape, tuple(sorted({makers[name] for name in node.reads if name in makers})), step, algorithm, named, ms)
            for node, (label, shape, step, algorithm, named, ms) in zip(nodes, facts)]


def _explored(k: int, box: Box, boxes: Sequence[Box]) -> dict[str, Any]:
    """A node of Model Explorer's JSON."""
    together = sum(other.step == box.step for other in boxes) > 1 and box.step >= 0
    facts = {"name": box.name, "algorithm": box.algorithm, "nodes": ", ".join(box.nodes), "ms": "" if box.ms is None else f"{box.ms:.4f}"}
    outputs = [{"key": "shape", "value": "x".join(map(str, box.shape))}] if box.shape is not None else []
    return {"id": str(k), "label": box.label, "namespace": f"step {box.step}" if together else "",
            "attrs": [{"key": key, "value": value} for key, value in facts.items() if value],
            "incomingEdges": [{"sourceNodeId": str(j), "sourceNodeOutputId": "0", "targetNodeInputId": str(i)}
                              for i, j in enumerate(box.reads)],
            "outputsMetadata": [{"id": "0", "attrs": outputs}]}


def boxes_svg(boxes: Sequence[Box]) -> str:
    """Boxes in rows, joined by lines."""
    depth: list[int] = []
    for box in boxes:
        depth.append(1 + max((depth[j] for j in box.reads if j < len(depth)), default=-1))
    taken, at = dict[int, int](), list[tuple[int, int]]()
    for row in depth:
        at.append((10 + taken.get(row, 0) * (BOX + ROOM), 10 + row * ROW))
        taken[row] = taken.get(row, 0) + 1
    width, height = 20 + max(taken.values(), default=1) * (BOX + ROOM), 20 + (max(depth, default=0) + 1) * ROW
    ends = [(at[j], at[k]) for k, box in enumerate(boxes) for j in box.reads]
    parts = [f"<line x1='{a[0] + BOX // 2}' y1='{a[1] + 38}' x2='{b[0] + BOX // 2}' y2='{b[1]}' stroke='#999'/>" for a, b in ends]
    most = max((box.ms or 0.0 for box in boxes), default=0.0) or 1.0
    shared = {box.step for k, box in enumerate(boxes) if box.step >= 0 and any(o.step == box.step for o in boxes[:k])}
    parts += [_drawn(box, x, y, most, box.step in shared) for box, (x, y) in zip(boxes, at)]
    return (f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' font-family='system-ui,sans-serif' font-size='11'>"
            f"<rect width='100%' height='100%' fill='white'/>{''.join(parts)}</svg>")


def _drawn(box: Box, x: int, y: int, most: float, together: bool) -> str:
    shade = 250 - int(140 * (box.ms or 0.0) / most)
    edge = f"hsl({47 * box.step % 360},70%,45%)' stroke-width='3" if together else "#888"
    label, shape = escape(box.label[:34]), "x".join(map(str, box.shape)) if box.shape is not None else ""
    below = escape(" ".join(part for part in (shape, f"{box.ms:.3f} ms" if box.ms is not None else "", box.algorithm) if part)[:36])
    return (f"<g><rect x='{x}' y='{y}' width='{BOX}' height='38' rx='4' fill='rgb(253,{shade},{shade})' stroke='{edge}'/>"
            f"<text x='{x + 6}' y='{y + 16}'>{label}</text><text x='{x + 6}' y='{y + 31}' fill='#555' font-size='10'>{below}</text>"
            f"<title>{escape(box.name)}: {escape(', '.join(box.nodes))}</title></g>")
