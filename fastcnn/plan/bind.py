"""Binding: gives every value of a graph a concrete shape, evaluates shape arithmetic, and decides per node: native or fallback.

Where a shape depends on data, the remaining nodes are left to be bound during the run.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

import numpy as np

import fastcnn._native as _native
import fastcnn.reference as reference
from fastcnn.budget import MAX_RANK, MOST_FOLDED_BYTES, UNLIMITED, Budget
from fastcnn.ir.errors import LimitError, ShapeError
from fastcnn.ir.graph import Memory, Node
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import Args, Capped, DataDependent, Spec
from fastcnn.mapping import recall
from fastcnn.ops import OPS
from fastcnn.ops.base import BoundNode, Op
from fastcnn.schema.axes import NAMED, check_axes
from fastcnn.schema.typing import check_dtypes
from fastcnn.schema.vectors import VECTORS, check_vectors

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
# Operators that can make much out of little, and how much others have to read before the size of what they make is asked for.
GROWING = {"Expand", "Tile", "OneHot", "Pad", "Resize", "Upsample", "EyeLike", "MatMul", "Gemm", "Einsum",
           "Col2Im", "ConvTranspose", "CenterCropPad", "MelWeightMatrix", "HannWindow", "HammingWindow", "BlackmanWindow"}
CHECKED_BYTES = 1 << 20
READS_SHAPE_ONLY = {"Shape", "Size", "EyeLike"}
MAX_DIMS = _native.MAX_DIMS


@dataclass
class Bound:
    """nodes to execute in order; specs and values of everything known; rest: nodes that only the run can bind.

    awaited  values of the run without which the first of the rest cannot be bound; empty where types or shapes alone are missing
    constants  the values that do not depend on shapes: the model's own
    memory     what shape rules have said when the model was read
    """

    constants: Mapping[str, np.ndarray]
    budget: Budget = UNLIMITED
    memory: Memory | None = None
    nodes: list[BoundNode] = field(default_factory=list)
    specs: dict[str, Spec | None] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    rest: list[Node] = field(default_factory=list)
    awaited: tuple[str, ...] = ()

    def known(self, name: str) -> Spec | None:
        """The Spec of a value, None where it depends on data."""
        return spec_of(self.values[name]) if name in self.values else self.specs.get(name)

    def spec(self, name: str) -> Spec:
        """The Spec of a value of a native node, which is always known."""
        spec = self.specs[name]
        assert spec is not None, f"{name} has no known shape"
        return spec


class Flow(Protocol):
    """Infers the outputs of a control-flow node from its inputs and, by the name inside, what its bodies capture."""

    def infer(self, args: Args, captured: Mapping[str, Spec | None]) -> list[Spec | None]: ...


def spec_of(array: object) -> Spec | None:
    """Spec of an array, None for what is no tensor (a sequence, an optional)."""
    return Spec(array.dtype, array.shape) if isinstance(array, np.ndarray) else None


def bind(nodes: Sequence[Node], specs: Mapping[str, Spec | None], constants: Mapping[str, np.ndarray],
         values: Mapping[str, np.ndarray], opsets: Mapping[str, int], flows: Mapping[int, Flow] | None = None,
         budget: Budget = UNLIMITED, memory: Memory | None = None) -> Bound:
    """Bind nodes in topological order. `values` is what a run has already computed, besides the model's constants.

    flows  by the id of an If, Loop or Scan, what infers the specs of its outputs
    Raises LimitError naming the node whose output is larger than the budget.
    """
    flows = flows or {}
    bound = Bound(constants, budget, memory, specs=dict(specs), values={**constants, **values})
    for k, node in enumerate(nodes):
        args = _args(node, bound)
        if node.op_type in READS_SHAPE_ONLY and not node.domain and args.specs[0] is not None:
            dummy = np.broadcast_to(np.zeros((), args.specs[0].dtype), args.specs[0].shape)
            _keep(bound, node, reference.evaluate(node, [dummy], {}, opsets))
            continue
        flow = flows.get(id(node))
        if flow is None:
            check_dtypes(node, tuple([spec.dtype if spec is not None else None for spec in args.specs]))
            if node.op_type in NAMED or node.op_type in VECTORS:
                ranks = [len(spec.shape) if spec is not None else None for spec in args.specs]
                check_axes(node, ranks)
                check_vectors(node, ranks)
        if flow is None and _foldable(node, args):
            results = _folded(node, args, bound, opsets)
            if results is not None and all(isinstance(result, np.ndarray) for result in results):
                _keep(bound, node, results)
                continue
        doubtful = bool(node.captures) or any([spec is None for spec in args.specs])
        opaque = doubtful and any([name not in bound.values and bound.specs.get(name) is None for name in node.reads])
        try:
            if opaque or flow is None:
                op, outputs = (None, [None]) if opaque else _infer(node, args, memory)
            else:
                op, outputs = None, flow.infer(args, {inner: bound.known(outer) for inner, outer in node.captures})
        except DataDependent as waits:
            bound.rest, bound.awaited = list(nodes[k:]), waits.names
            return bound
        _check_budget(node, outputs, budget)
        if flow is None and _nothing(node, outputs):
            _keep(bound, node, _empties(outputs))
            continue
        bound.nodes.append(BoundNode(node, op, args))
        for name, spec in zip(node.outputs, outputs):
            if name and spec is not None:
                bound.specs[name] = spec
        if not _all_known(node, outputs):
            bound.rest = list(nodes[k + 1:])
            return bound
    return bound


def _all_known(node: Node, outputs: Sequence[Spec | None]) -> bool:
    """Whether the nodes after this one can be bound: each output that has a name has a shape that the run does not change."""
    for k, name in enumerate(node.outputs):
        spec = outputs[k] if k < len(outputs) else None
        if name and (spec is None or isinstance(spec, Capped)):
            return False
    return True


def _args(node: Node, bound: Bound) -> Args:
    specs, values = [], []
    for name in node.inputs:
        value = bound.values.get(name) if name else None
        if value is not None:
            spec = spec_of(value)
        elif (spec := bound.specs.get(name) if name else None) is not None and 0 in spec.shape and not isinstance(spec, Capped):
            value = np.empty(spec.shape, spec.dtype)        # without elements it is known before it is computed
        values.append(value)
        specs.append(spec)
    return Args(node, tuple(specs), tuple(values))


def _foldable(node: Node, args: Args) -> bool:
    if args.values and args.values[0] is None and node.inputs[0]:           # most nodes
        return False
    known = all([value is not None for name, value in zip(node.inputs, args.values) if name])
    return known and not node.captures and node.op_type not in RANDOM and node.activation is None and bool(node.reads
                                                                                                           or node.op_type == "Constant")


def _check_budget(node: Node, outputs: Sequence[Spec | None], budget: Budget) -> None:
    for spec in outputs:
        if spec is not None and not (0 < spec.size * spec.dtype.itemsize <= budget.free and spec.rank <= MAX_RANK):
            budget.check_value(spec.dtype, spec.shape, node.where())


def _nothing(node: Node, outputs: Sequence[Spec | None]) -> bool:
    """Whether every output is known to have no elements, so that there is nothing to compute."""
    for spec in outputs:
        if spec is None or 0 not in spec.shape or isinstance(spec, Capped):
            return False
    return len(outputs) == len(node.outputs) and all(node.outputs)


def _empties(outputs: Sequence[Spec | None]) -> list[np.ndarray]:
    return [np.empty(spec.shape, spec.dtype) for spec in outputs if spec is not None]


def _folded(node: Node, args: Args, bound: Bound, opsets: Mapping[str, int]) -> Sequence[Any] | None:
    """The outputs of a node whose inputs are constant, None where the run should compute them (they are large)."""
    if node.op_type in GENERATED and not node.domain:
        return GENERATED[node.op_type](node, args, bound.budget)
    read = sum(value.nbytes for value in args.values if value is not None)
    if node.op_type in GROWING or read > CHECKED_BYTES or any(value is not None and value.size == 0 for value in args.values):
        outputs = _infer(node, args, bound.memory)[1]
        _check_budget(node, outputs, bound.budget)
        if _nothing(node, outputs):              # numpy need not be able to compute what has no elements
            return _empties(outputs)
        made = sum(spec.nbytes for spec in outputs if spec is not None)
        bound.budget.check(made, node.where())
        if max(read, made) > MOST_FOLDED_BYTES and None not in outputs:
            return None
    for value in args.values:
        if value is not None:
            recall(value)
    return reference.evaluate(node, list(args.values), {}, opsets)


def _repeated_value(node: Node, args: Args, budget: Budget) -> Sequence[Any] | None:
    """ConstantOfShape: one element repeated by strides of zero."""
    value, sizes = node.attrs.get("value", np.zeros(1, np.float32)), args.ints(0) or []
    if value.size != 1 or any(size < 0 for size in sizes):
        raise ShapeError(f"{node.where()}: {value.size} elements for shape {sizes}")
    budget.check_value(value.dtype, tuple(sizes), node.where())
    return [np.broadcast_to(value.reshape(()), sizes)]


def _range(node: Node, args: Args, budget: Budget) -> Sequence[Any] | None:
    """Range, once it is known to be short enough."""
    start, limit, step = (value.reshape(-1)[0].item() if value is not None and value.size == 1 else None for value in args.values[:3])
    if start is None or limit is None or not step or not np.isfinite([start, limit, step]).all():
        raise ShapeError(f"{node.where()}: from {start} to {limit} by {step}")
    budget.check_value(args.spec(0).dtype, (max(int((limit - start) / step), 0),), node.where())
    return reference.evaluate(node, list(args.values))


# Operators whose outputs are always known before a run, or bound during it, and may be much larger than what they are made of.
GENERATED = {"ConstantOfShape": _repeated_value, "Range": _range}


def _keep(bound: Bound, node: Node, results: Sequence[np.ndarray]) -> None:
    for name, result in zip(node.outputs, results):
        if name:
            bound.specs[name], bound.values[name] = spec_of(result), result


def _few_axes(specs: Sequence[Spec | None]) -> bool:
    """Whether the values have few enough axes for steps, not counting axes of extent 1."""
    return not [spec for spec in specs if spec is not None and len(spec.shape) > MAX_DIMS < len(spec.shape) - spec.shape.count(1)]


def _infer(node: Node, args: Args, memory: Memory | None) -> tuple[Op | None, Sequence[Spec | None]]:
    """(what computes the node, None for the fallback; specs of its outputs). Raises ShapeError, LimitError, DataDependent."""
    op = OPS.get((node.domain, node.op_type))
    asked: list[str] = []
    if op is None or not op.native(args) or not _few_axes(args.specs):
        return None, reference.infer_outputs(args, memory=memory)
    capped = op.capped(args)
    outputs = [capped] if capped is not None else reference.infer_outputs(args, asked, memory)
    if all([spec is not None or not name for name, spec in zip(node.outputs, outputs)]):
        return op if _few_axes(outputs) else None, outputs
    if asked:
        raise DataDependent(node.where(), *asked)
    raise LimitError(f"{node.where()}: an output is longer than int64 can say")
