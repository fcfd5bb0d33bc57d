"""Dtypes and shapes of one node's outputs from concrete input shapes: the rules of inference, applied while a model is bound."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from fastcnn.inference.infer import ODD, infer_graph, outputs_of, rule_of, shapes_of
from fastcnn.inference.rules import LIKE_INPUT
from fastcnn.inference.site import NUMBERS, Known, Mismatch, Rule, Site
from fastcnn.inference.sizes import numbers
from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Dim, Graph, Memory, Shape
from fastcnn.ir.spec import Args, Spec, bad_shape
from fastcnn.onnx_proto.types import element_of, numpy_type, tensor_of
from fastcnn.operators.epilogue import onnx_arity
from fastcnn.schema.typing import output_types
from fastcnn.schema.vectors import COUNTED


def infer_outputs(args: Args, asked: list[str] | None = None, memory: Memory | None = None) -> list[Spec | None]:
    """The Spec of each output; None where it depends on data, or where the output is omitted.

    asked   is filled with the names of inputs whose values a rule needed but which are not constant
    memory  what rules have said while the model was read
    Raises ShapeError naming the node when the inputs do not fit the operator.
    """
    node = args.node
    for name, spec in zip(node.inputs[:onnx_arity(node)], args.specs):
        if name and spec is None:
            return [None] * len(node.outputs)
    rule = rule_of(node)
    if rule is LIKE_INPUT and (like := _like_input(args)) is not None:
        return [like]
    site = BoundSite(args, memory)
    if rule is not None and rule.alike and (only := _remembered(site, rule)) is not None:
        return [only]
    try:
        kinds, shapes = outputs_of(site, rule)
    except ODD as error:
        raise bad_shape(args, str(error) if isinstance(error, Mismatch) else f"{type(error).__name__}: {error}") from None
    if asked is not None:
        asked += site.asked
    found = [_concrete(kind, shape) if name and kind else None for name, kind, shape in zip(node.outputs, kinds, shapes)]
    return found if len(found) == len(node.outputs) else [*found, *[None] * (len(node.outputs) - len(found))]


def _like_input(args: Args) -> Spec | None:
    """The Spec of input 0 where it certainly is that of the only output, as the rule LIKE_INPUT has it: many nodes are like that."""
    node, spec = args.node, args.specs[0] if args.specs else None
    if type(spec) is not Spec or node.domain or len(node.outputs) != 1 or not node.outputs[0] or node.op_type in COUNTED:
        return None
    kinds = [None if given is None else tensor_of(given.dtype) for given in args.specs]
    try:
        return spec if output_types(node, kinds, beyond=True) == kinds[:1] else None
    except ModelError:
        return None


def _remembered(site: BoundSite, rule: Rule) -> Spec | None:
    """The Spec of the only output, of the type of input 0, where shapes are remembered: most nodes repeat. None: to be looked at closely.

    Binding has checked the types of the inputs.
    """
    node, first = site.node, site.args.specs[0]
    if site.memory is None or first is None or len(node.outputs) != 1 or not node.outputs[0]:
        return None
    try:
        shape, = shapes_of(site, rule)
    except ODD:
        return None
    if shape is None or not NUMBERS.issuperset(map(type, shape)):
        return None
    return Spec(first.dtype, tuple(shape))              # type: ignore[arg-type]


class BoundSite(Site):
    """A node whose input shapes are numbers. `asked` collects the names of inputs whose values a rule needed but which are not constant."""

    __slots__ = ("args", "asked")

    def __init__(self, args: Args, memory: Memory | None = None):
        node = args.node
        self.node, self.attrs, self.infer_body, self.memory = node, node.attrs, infer_graph, memory
        self.known = _known(args) if Graph in map(type, node.attrs.values()) else NOTHING_KNOWN
        self.args = args
        self.asked: list[str] = []

    def shape(self, i: int) -> Shape | None:
        specs = self.args.specs
        spec = specs[i] if i < len(specs) else None
        return None if spec is None else spec.shape

    def type(self, i: int) -> str:
        specs = self.args.specs
        spec = specs[i] if i < len(specs) else None
        return "" if spec is None else tensor_of(spec.dtype)

    def array(self, i: int) -> np.ndarray | None:
        """Input i as an array of any size: unlike while reading, no constant is too large to decide a shape."""
        values = self.args.values
        if i < len(values) and values[i] is None and self.given(i):
            self.asked.append(self.node.inputs[i])
        return values[i] if i < len(values) else None


NOTHING_KNOWN = Known()


def _known(args: Args) -> Known:
    """The values around a node that the bodies of control flow may capture."""
    inputs: Mapping[str, Spec | None] = dict(zip(args.node.inputs, args.specs))
    known = Known(constants={name: value for name, value in zip(args.node.inputs, args.values) if name and value is not None})
    for name, spec in inputs.items():
        if name and spec is not None:
            known.types[name], known.shapes[name] = tensor_of(spec.dtype), spec.shape
    return known


def _concrete(kind: str, shape: Sequence[Dim] | None) -> Spec | None:
    dtype = _dtype(kind)
    if dtype is None or shape is None:
        return None
    sizes = tuple(shape) if NUMBERS.issuperset(map(type, shape)) else numbers(shape)
    return Spec(dtype, sizes) if len(sizes) == len(shape) else None             # type: ignore[arg-type]


@cache
def _dtype(kind: str) -> np.dtype | None:
    """The dtype of a tensor's type string, None for other types."""
    element = element_of(kind)
    return None if element is None else numpy_type(element)
