"""Decides which values of bytes are floats in memory where no instruction multiplies bytes: those that operators on floats hand on.

There a product of bytes is often faster by float kernels (ops/quantized/in_floats.py), and between two such products bytes would be made
only to be widened again. Every node gets one of two forms, on bytes or on floats that are rounded likewise (ops/quantized/as_floats.py);
conversions stand where the forms of neighbours differ. The least predicted time is looked for from both ends: all bytes, all floats.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from math import inf, prod

import fastcnn._native as _native
from fastcnn.convolve import ladder
from fastcnn.convolve.arithmetic import U8S8
from fastcnn.convolve.quantized_gemm import dequantise_cycles, quantise_cycles
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import Spec
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.ops.base import BoundNode
from fastcnn.ops.convolution.conv_emit import ROUNDED
from fastcnn.ops.quantized.as_floats import PRODUCTS, ROUND_SUM, Floats, as_floats, is_covered
from fastcnn.ops.quantized.bytes import U8
from fastcnn.ops.quantized.in_floats import float_cycles
from fastcnn.ops.quantized.product_step import RESIDUAL, TABLE
from fastcnn.ops.window import resolve, two_axes
from fastcnn.plan.bind import Bound

BYTES, FLOATS = 0, 1
# Cycles on bytes and on floats (AMD EPYC, Zen 4, 2026-11-30). A vector of floats: rounding what a tile is about to store, a sum, elements
# that are moved in runs. An element: picked ones. A vector of floats that a table changes, by how tables are looked up there.
ROUND, SUM, MOVE, PICK = 0.5, (4.0, 4.0), (0.5, 2.0), (2.5, 0.7)
ADDED = 1.5         # a residual in a tile, a second rounding included
TABLE_CYCLES = {"scalar": 2.0, "avx2": 15.0, "avx512": 3.0}
# A vector of floats that a table changes where it lies, just made (Emerald Rapids, 2026-11-30; scalar code: an element).
LOOKUP = {"scalar": 3.0, "avx2": 5.0, "avx512": 4.0}
# Attributes that say the zero point of an input, by its place.
ZEROS_OF_INPUTS: Mapping[str, tuple[tuple[int, str], ...]] = {
    **dict.fromkeys(PRODUCTS, ((0, "x_zero"), (RESIDUAL, "r_zero"))),
    **dict.fromkeys(("QAdd", "QMul"), ((0, "a_zero"), (1, "b_zero"))),
    **dict.fromkeys(("QPRelu", "QAveragePool", "QGlobalAveragePool"), ((0, "x_zero"),)),
    "DequantizeBytes": ((0, "zero"),),
}


@dataclass
class Choices:
    """The nodes of a stage and what their forms cost, in cycles.

    costs    of each node on bytes, on floats                   sizes    value of bytes -> its elements
    makers   such a value -> the node that makes it             readers  the nodes that read it; outside: read by others as bytes
    """

    nodes: Sequence[BoundNode]
    costs: list[tuple[float, float]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    makers: dict[str, int] = field(default_factory=dict)
    readers: dict[str, list[int]] = field(default_factory=dict)
    outside: frozenset[str] = frozenset()

    def best(self) -> list[int]:
        """The form of each node."""
        starts = [[form if costs[form] < inf else BYTES for costs in self.costs] for form in (BYTES, FLOATS)]
        return min((self._improved(start) for start in starts), key=self._total)

    def _improved(self, forms: list[int]) -> list[int]:
        """Changes single nodes while that saves time."""
        touched = [sorted({v for v in (*b.node.outputs, *b.node.reads) if v in self.sizes}) for b in self.nodes]
        changed = True
        while changed:
            changed = False
            for i, costs in enumerate(self.costs):
                if costs[FLOATS] == inf:
                    continue
                times = []
                for form in (BYTES, FLOATS):
                    other = {i: form}
                    times.append(costs[form] + sum(self._conversion(v, forms, other) for v in touched[i]))
                better = BYTES if times[BYTES] < times[FLOATS] else FLOATS if times[FLOATS] < times[BYTES] else forms[i]
                changed = changed or better != forms[i]
                forms[i] = better
        return forms

    def _conversion(self, value: str, forms: Sequence[int], instead: Mapping[int, int]) -> float:
        """Cycles of making bytes of a value's floats, or the other way, where some reader needs that."""
        made = self.makers.get(value)
        form = BYTES if made is None else instead.get(made, forms[made])
        wanted = {instead.get(k, forms[k]) for k in self.readers.get(value, ())} | ({BYTES} if value in self.outside else set())
        cycles = 0.0 if wanted <= {form} else dequantise_cycles() if form == BYTES else quantise_cycles()
        return cycles * self.sizes[value] / _native.vector_length()

    def _total(self, forms: Sequence[int]) -> float:
        return sum(costs[form] for costs, form in zip(self.costs, forms)) + sum(self._conversion(v, forms, {}) for v in self.sizes)


def stored_as_floats(bound: Bound, nodes: Sequence[BoundNode], outputs: Sequence[str]) -> tuple[Bound, list[BoundNode]]:
    """The nodes of a stage with those on floats that are predicted to be faster so, and what they are bound by."""
    zeros = _zero_points(bound, nodes)
    covered = [is_covered(b, zeros, [v for v in b.node.outputs if _is_bytes(bound, v)]) for b in nodes]
    if not any(covered):
        return bound, list(nodes)
    choices = Choices(nodes, outside=frozenset(outputs))
    for i, b in enumerate(nodes):
        bytes_cost, floats_cost = _costs(bound, b)
        choices.costs.append((bytes_cost, floats_cost if covered[i] else inf))
        for value in b.node.outputs:
            if _is_bytes(bound, value):
                choices.makers[value], choices.sizes[value] = i, bound.spec(value).size
        for value in dict.fromkeys(b.node.reads):
            if _is_bytes(bound, value) and value not in bound.values:
                choices.readers.setdefault(value, []).append(i)
                choices.sizes[value] = bound.spec(value).size
    forms = choices.best()
    return _rewritten(bound, nodes, outputs, zeros, forms) if any(forms) else (bound, list(nodes))


def _rewritten(bound: Bound, nodes: Sequence[BoundNode], outputs: Sequence[str], zeros: Mapping[str, int],
               forms: Sequence[int]) -> tuple[Bound, list[BoundNode]]:
    """The nodes in their forms, with conversions in front of the first that needs them."""
    to = Floats(zeros, dict(bound.specs))
    made: list[BoundNode] = []
    at: dict[str, set[int]] = {}        # value -> the forms that there are of it
    for b, form in zip(nodes, forms):
        for value in dict.fromkeys(b.node.reads):
            if _is_bytes(bound, value) and value not in bound.values and form not in at.setdefault(value, {BYTES}):
                made.append(to.from_bytes(value) if form == FLOATS else to.to_bytes(value))
                at[value].add(form)
        made += as_floats(b, to) if form == FLOATS else [b]
        at.update((value, {form}) for value in b.node.outputs if _is_bytes(bound, value))
    made += [to.to_bytes(value) for value in outputs if at.get(value) == {FLOATS}]
    made = _rounded_in_bands(made, outputs)
    constants = {**bound.constants, **to.constants}
    return replace(bound, constants=constants, values={**bound.values, **to.constants}, specs=to.specs, nodes=made), made


def _rounded_in_bands(nodes: Sequence[BoundNode], outputs: Sequence[str]) -> list[BoundNode]:
    """The nodes, a rounding of three planes that a Conv alone reads, which come from outside, as an attribute of that."""
    makers = {v for b in nodes for v in b.node.outputs}
    readers: dict[str, list[BoundNode]] = {}
    for b in nodes:
        for value in b.node.reads:
            readers.setdefault(value, []).append(b)
    changed: dict[int, list[BoundNode]] = {}
    for b in nodes:
        x, others = b.node.input(0), readers.get(b.node.outputs[0], [])
        plain = b.op is ROUND_SUM and b.node.attrs["b_factor"] == 0.0 and x not in makers
        if not plain or len(others) != 1 or b.node.outputs[0] in outputs or not _takes_planes(others[0]):
            continue
        conv, attrs = others[0], b.node.attrs
        rounded = {ROUNDED: (attrs["a_factor"], attrs["lo"], attrs["hi"])}
        node = conv.node.but(inputs=(x, *conv.node.inputs[1:]), attrs=conv.node.attrs | rounded)
        args = replace(conv.args, node=node, specs=(b.args.specs[0], *conv.args.specs[1:]), values=(None, *conv.args.values[1:]))
        changed[id(b)], changed[id(conv)] = [], [BoundNode(node, conv.op, args)]
    return [new for b in nodes for new in changed.get(id(b), [b])]


def _takes_planes(b: BoundNode) -> bool:
    """Whether a Conv of floats may interleave three planes into its band."""
    if b.node.op_type != "Conv" or b.node.domain or b.args.spec(0).rank != 4 or b.args.spec(0).shape[1] != 3:
        return False
    return b.node.attrs.get("group", 1) == 1 and set(b.args.spec(1).shape[2:]) != {1} and set(b.node.attrs.get("dilations", ())) <= {1}


def _is_bytes(bound: Bound, value: str) -> bool:
    spec = bound.known(value) if value else None
    return spec is not None and spec.dtype == U8


def _zero_points(bound: Bound, nodes: Sequence[BoundNode]) -> dict[str, int]:
    """Zero points of values of bytes, by the nodes that make and read them; none where these disagree, or say nothing."""
    found: dict[str, set[int]] = {}
    same: list[list[str]] = []
    for b in nodes:
        for value, zero in _said(b):
            found.setdefault(value, set()).add(zero)
        if not b.node.domain:
            same.append([v for v in (*b.node.outputs, *b.node.reads) if _is_bytes(bound, v)])
    for group in (*same, *reversed(same)):
        together = {zero for value in group for zero in found.get(value, ())}
        for value in group if together else ():
            found[value] = together
    return {value: min(zeros) for value, zeros in found.items() if len(zeros) == 1}


def _said(b: BoundNode) -> Iterator[tuple[str, int]]:
    """Values whose zero points a node says."""
    node = b.node
    if node.domain != OWN_DOMAIN:
        return
    for i, name in ZEROS_OF_INPUTS.get(node.op_type, ()):
        if node.input(i) and name in node.attrs:
            yield node.input(i), int(node.attrs[name])
    if node.op_type in ("QuantizeBytes", "QuantizeScaled"):
        yield node.outputs[0], int(node.attrs["zero"])
    elif "y_zero" in node.attrs and node.attrs.get("to", "uint8") == "uint8" and not (node.op_type in PRODUCTS and node.input(TABLE)):
        yield node.outputs[0], int(node.attrs["y_zero"])


def _costs(bound: Bound, b: BoundNode) -> tuple[float, float]:
    """Cycles of a node on bytes and on floats, conversions left out; on one thread: any number of them has the same bits."""
    spec = bound.known(b.node.outputs[0]) if b.node.outputs and b.node.outputs[0] else None
    vectors = (spec.size if spec is not None else 0) / _native.vector_length()
    if b.node.domain == OWN_DOMAIN and b.node.op_type in PRODUCTS:
        return _product_costs(b, spec, vectors)
    if b.node.op_type in ("QAdd", "QMul"):
        return SUM[BYTES] * vectors, SUM[FLOATS] * vectors
    if b.node.op_type == "ByteTable":
        return TABLE_CYCLES[_native.current_isa()] * vectors, LOOKUP[_native.current_isa()] * vectors
    if b.node.op_type == "Gather":
        return PICK[BYTES] * vectors * _native.vector_length(), PICK[FLOATS] * vectors * _native.vector_length()
    if b.node.op_type in ("QuantizeBytes", "QuantizeScaled"):
        return quantise_cycles() * vectors, SUM[FLOATS] * vectors
    return MOVE[BYTES] * vectors, MOVE[FLOATS] * vectors


def _product_costs(b: BoundNode, spec: Spec | None, vectors: float) -> tuple[float, float]:
    """Of a product on bytes, which may widen its input and quantise its output instead, and on floats."""
    added, table = b.args.has(RESIDUAL), b.args.has(TABLE)
    isa = _native.current_isa()
    tail = ((SUM[BYTES] * added + TABLE_CYCLES[isa] * table) * vectors, (ROUND + ADDED * added + LOOKUP[isa] * table) * vectors)
    made = spec.size if spec is not None else 0
    converted = (dequantise_cycles() * b.args.spec(0).size + quantise_cycles() * made) / _native.vector_length()
    shape = _shape(b)
    if shape is None:                       # floats, without dot products
        return tail[BYTES] + converted, tail[FLOATS]
    as_bytes = replace(shape, arithmetic=U8S8)
    bytes_cycles, floats_cycles = ladder.cycles(ladder.choose(Problem(as_bytes, own_places(as_bytes))), 1), float_cycles(shape)
    return tail[BYTES] + min(bytes_cycles, floats_cycles + converted), tail[FLOATS] + floats_cycles


def _shape(b: BoundNode) -> ConvShape | None:
    """The convolution of a product; None for those that are floats in any case."""
    x, w = b.args.spec(0), b.args.spec(1)
    if b.node.op_type == "QMatMul":
        return ConvShape(1, 1, w.shape[1], w.shape[0], 1, 1, 1, 1, 1, 1, 0, 0, 1, prod(x.shape[:-1]), 1, prod(x.shape[:-1]))
    if b.node.op_type != "QConv" or x.rank == 5:
        return None
    window, group = two_axes(resolve(b.args, x.shape[2:], w.shape[2:])), b.node.attrs.get("group", 1)
    (kh, kw), (sh, sw), (dh, dw), (pt, pl) = window.kernel, window.strides, window.dilations, window.before
    ih, iw = x.shape[2:] if x.rank == 4 else (1, x.shape[2])
    return ConvShape(x.shape[0], group, w.shape[1], w.shape[0] // group, kh, kw, sh, sw, dh, dw, pt, pl, ih, iw, *window.out)
