"""Summary: a row for each layer that runs, totals, and remarks."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.analysis.inputs import Shapes, input_specs
from fastcnn.analysis.observe import remarks
from fastcnn.analysis.origins import Origin, origins
from fastcnn.analysis.receptive import Fields
from fastcnn.analysis.records import Layer, ReceptiveField, Remark
from fastcnn.analysis.steps import Unit, units_of
from fastcnn.analysis.text import LAYER_COLUMNS, amount, html_table, layer_rows, plain_table
from fastcnn.analysis.work import macs
from fastcnn.ir.graph import Graph, Node
from fastcnn.ir.spec import Spec
from fastcnn.ops.base import BoundNode
from fastcnn.plan.bind import Bound, bind
from fastcnn.plan.executor import Engine

IDLE = ("Identity", "Dropout")  # nothing to compute, so nothing that was fused
LARGE_SHARE = 0.5               # the rows that together hold this much of something are named


@dataclass(frozen=True)
class Summary:
    """What a model does for one set of input shapes.

    parameters     initializers that several layers read count once, in shared_parameters what they would count besides
    arena_bytes    memory for all activations of one run, which layers share
    packed_bytes   weights as the kernels read them, of all shapes planned so far
    remarks        what deserves a second look, by the name of the node
    """

    model: str
    inputs: Mapping[str, tuple[int, ...]]
    assumed: tuple[str, ...]
    instruction_set: str
    threads: int
    layers: tuple[Layer, ...]
    parameters: int
    shared_parameters: int
    macs: int
    activation_bytes: int
    arena_bytes: int
    packed_bytes: int
    remarks: tuple[Remark, ...] = field(default=())

    def largest(self, what: str) -> list[tuple[str, float]]:
        """(name, share) of the layers that together hold more than half of "parameters", "macs" or "activation_bytes"."""
        total = sum(getattr(layer, what) for layer in self.layers)
        found, held = [], 0.0
        for layer in sorted(self.layers, key=lambda layer: -getattr(layer, what)):
            if not total or held >= LARGE_SHARE:
                break
            found.append((layer.name, getattr(layer, what) / total))
            held += found[-1][1]
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def rows(self) -> list[list[str]]:
        """A row of LAYER_COLUMNS (fastcnn.analysis.text) for each layer."""
        return layer_rows(self.layers)

    def lines(self) -> list[str]:
        """The lines below the table."""
        inputs = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in self.inputs.items())
        shared = f" ({self.shared_parameters:,} more where layers share them)" if self.shared_parameters else ""
        lines = [f"{len(self.layers)} layers for {inputs}{' (assumed)' if self.assumed else ''}; {self.instruction_set}, "
                 f"{self.threads} thread{'s' * (self.threads != 1)}",
                 f"parameters {self.parameters:,}{shared}   MACs {self.macs:,}   activations {amount(self.activation_bytes, 'B')}, "
                 f"in an arena of {amount(self.arena_bytes, 'B')}   packed weights {amount(self.packed_bytes, 'B')}"]
        for what, words in (("parameters", "parameters"), ("activation_bytes", "activations"), ("macs", "MACs")):
            largest = self.largest(what)[:4]
            if largest:
                lines.append(f"most {words}: {', '.join(f'{name} {100 * share:.0f} %' for name, share in largest)}")
        return lines + [f"warning: {remark.text}" for remark in self.remarks]

    def __str__(self) -> str:
        return "\n".join([plain_table(LAYER_COLUMNS, self.rows()), "", *self.lines()])

    def _repr_html_(self) -> str:
        title, lines = f"<b>{escape(self.model or 'model')}</b>", escape("\n".join(self.lines()))
        return f"{title}{html_table(LAYER_COLUMNS, self.rows())}<pre>{lines}</pre>"


def summarise(graph: Graph, engine: Engine, dtypes: Mapping[str, np.dtype | None], shapes: Shapes | Sequence[int] | None = None,
              object_size: int | None = None) -> Summary:
    """The summary of a model.

    graph, engine  as it was read; what runs its outputs
    dtypes         that the engine computes in, of the inputs
    shapes         of the inputs, by name or of the only one; see fastcnn.analysis.inputs for what is taken otherwise
    object_size    pixels of what the outputs have to see: a remark where they see less
    """
    planning = engine.planning
    specs = input_specs(graph.inputs, dtypes, shapes)
    plan = engine.plan(dict(specs))
    bound = bind(engine.graph.nodes, specs, planning.constants, {}, planning.opsets, planning.flows, planning.budget)
    units, fields = units_of(plan), Fields(specs)
    nodes = [*(b.node for b in bound.nodes), *bound.rest]
    layers, learnt = [], dict[str, int]()
    numbers = {name: k for k, unit in enumerate(units) for name in unit.made}
    for k, (node, origin) in enumerate(zip(nodes, origins(graph, nodes))):
        b = bound.nodes[k] if k < len(bound.nodes) else None
        layers.append(_layer(node, b, bound, origin, fields, units, numbers))
        learnt |= origin.weights | origin.biases
    assumed = [info.name for info in graph.inputs if not _is_fixed(info.shape) and (shapes is None or (isinstance(shapes, Mapping)
                                                                                                        and info.name not in shapes))]
    unique = sum(learnt.values())
    arena = max((stage.program.arena_bytes for stage in plan.stages if not isinstance(stage, Node)), default=0)
    return Summary(graph.name, {name: spec.shape for name, spec in specs.items()}, tuple(assumed), _native.current_isa(), planning.threads,
                   tuple(layers), unique, sum(layer.parameters for layer in layers) - unique, sum(layer.macs for layer in layers),
                   sum(layer.activation_bytes for layer in layers), arena, sum(pack.nbytes for pack in planning.packs.values()),
                   tuple(remarks(bound.nodes, layers, [info.name for info in graph.outputs], object_size)))


def _is_fixed(shape: Sequence[object] | None) -> bool:
    return shape is not None and all(isinstance(d, int) for d in shape)


def _layer(node: Node, b: BoundNode | None, bound: Bound, origin: Origin, fields: Fields, units: Sequence[Unit],
           numbers: Mapping[str, int]) -> Layer:
    outputs: list[Spec | None] = [bound.known(name) if name else None for name in node.outputs]
    if b is not None:
        fields.add(b, outputs)
    first, step = outputs[0] if outputs else None, next((numbers[name] for name in node.outputs if name in numbers), -1)
    unit = units[step] if step >= 0 else None
    runs = "data" if b is None else "view" if unit is None else "native" if unit.fallback is None else unit.algorithm
    return Layer(
        name=node.name, op_type=node.op_type, fused=_fused(node, origin), nodes=tuple(n.name for n in origin.nodes),
        shape=first.shape if first else None, dtype=str(first.dtype) if first else None,
        weights=sum(origin.weights.values()), biases=sum(origin.biases.values()), macs=macs(b, first) if b is not None else 0,
        activation_bytes=sum(spec.size * spec.dtype.itemsize for spec in outputs if spec is not None),
        fields=tuple(ReceptiveField(*along, None if p.size is None else float(p.size), float(p.stride), float(p.start))
                     for along, p in fields.of(next(filter(None, node.outputs), ""))),
        step=step, runs="fallback" if runs == "onnx.reference" else runs, algorithm=unit.algorithm if unit else "",
        tile=unit.tile if unit else None, output=next(filter(None, node.outputs), ""))


def _fused(node: Node, origin: Origin) -> tuple[str, ...]:
    """Operators of the file that the node computes beside its own; by its epilogue where the file's nodes are not known."""
    kinds = [part.op_type for part in origin.nodes if part.op_type not in IDLE or part.op_type == node.op_type]
    if node.op_type in kinds:
        kinds.remove(node.op_type)
    elif not kinds:
        kinds = ["Add"] * bool(node.op_type == "Conv" and node.input(3)) + ([node.activation.name] if node.activation else [])
    return tuple(kinds)
