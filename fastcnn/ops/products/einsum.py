"""Einsum as views, sums and batched matrix products between views, two operands at a time."""
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from fastcnn.ir.record import dataclass
from fastcnn.ir.spec import F32, Args, bad_shape
from fastcnn.ir.tensor import Tensor, dense_strides
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.layout import movable, own_output
from fastcnn.ops.products.linear import emit_matmul, emit_rows
from fastcnn.ops.products.typed_products import PRODUCT_TYPES, emit_typed_matmul
from fastcnn.ops.reduction.reduce import emit_sum

# Labels that stand for the axes under an ellipsis, from the last one backwards: none that an equation can contain.
ELLIPSIS = "αβγδεζηθ"


@dataclass(frozen=True)
class Term:
    """An operand: a label for each axis of a view; which input it is, where it still is that as a whole."""

    labels: str
    tensor: Tensor
    whole: int | None = None


@dataclass(frozen=True)
class Product:
    """Labels of two operands: in both and kept, in a and kept, in b and kept, in both and summed."""

    batch: str
    rows: str
    columns: str
    summed: str

    @property
    def kept(self) -> str:
        return self.batch + self.rows + self.columns


class Einsum(Op):
    """y = sums of products over the labels that the output lacks. ONNX Einsum-12. Raises ShapeError.

    float32, double or integers of 4 and 8 bytes, any number of operands: diagonals are views, what one operand has alone is summed
    first, then pairs are multiplied, each time the pair with the fewest multiplications. An axis of extent one fits any extent
    (onnxruntime's and numpy's broadcasting).
    """

    def native(self, args: Args) -> bool:
        specs = [args.spec(i) for i in range(len(args.specs))]
        known = super().native(args) or all(s.dtype == specs[0].dtype and s.dtype in PRODUCT_TYPES for s in specs)
        return known and movable(*specs) and all(s.size > 0 for s in specs)

    def lower(self, low: Lowering) -> None:
        *inputs, output = _terms(low.args)
        sizes = _sizes(low.args, inputs)
        terms = [_plain(low, i, labels, sizes) for i, labels in enumerate(inputs)]
        terms = [_summed(low, t, set(output).union(*(other.labels for other in terms if other is not t))) for t in terms]
        while len(terms) > 1:
            a, b = min(combinations(terms, 2), key=lambda pair: math.prod(sizes[c] for c in {*pair[0].labels, *pair[1].labels}))
            rest = [t for t in terms if t is not a and t is not b]
            product = _product(a.labels, b.labels, set(output).union(*(t.labels for t in rest)), output)
            shape = tuple(sizes[c] for c in product.kept)
            y = own_output(low, 0) if not rest and product.kept == output else low.temp(shape, a.tensor.dtype)
            _multiply(low, y, product, a, b, sizes)
            terms = [*rest, Term(product.kept, y)]
        if terms[0].labels != output or len(inputs) == 1:
            low.alias(0, terms[0].tensor.transpose(tuple(terms[0].labels.index(label) for label in output)))


def _plain(low: Lowering, i: int, labels: str, sizes: dict[str, int]) -> Term:
    """Input i without axes that repeat one element, each label once: the diagonal where it had several."""
    t = low.read(i)
    keep = [k for k, label in enumerate(labels) if t.shape[k] == sizes[label]]
    names = "".join(dict.fromkeys(labels[k] for k in keep))
    strides = tuple(sum(t.strides[k] for k in keep if labels[k] == label) for label in names)
    view = Tensor(t.buffer, tuple(sizes[label] for label in names), strides, t.offset)
    return Term(names, view, i if names == labels else None)


def _summed(low: Lowering, term: Term, kept: set[str]) -> Term:
    """The sum over labels that nothing else has."""
    axes = [k for k, label in enumerate(term.labels) if label not in kept]
    if not axes:
        return term
    labels = "".join(label for label in term.labels if label in kept)
    shape = tuple(n for k, n in enumerate(term.tensor.shape) if k not in axes)
    y = low.temp(shape, term.tensor.dtype)
    emit_sum(low, y, dense_strides(shape), term.tensor, axes)
    return Term(labels, y)


def _product(a: str, b: str, kept: set[str], output: str) -> Product:
    """Labels in the order of the output, those it lacks after them: a last product then needs no transposition."""
    order = output + "".join(sorted(kept - set(output)))
    return Product("".join(c for c in order if c in a and c in b), "".join(c for c in order if c in a and c not in b),
                   "".join(c for c in order if c in b and c not in a), "".join(c for c in a if c in b and c not in kept))


def _multiply(low: Lowering, y: Tensor, product: Product, a: Term, b: Term, sizes: dict[str, int]) -> None:
    """y, of the axes product.kept, = the sum of the products of a and b."""
    count = lambda labels: math.prod(sizes[label] for label in labels)  # noqa: E731
    m, n, k = count(product.rows), count(product.columns), count(product.summed)
    batch = tuple(sizes[label] for label in product.batch)
    left = _matrices(low, a, product.batch + product.rows + product.summed, (*batch, m, k))
    constant = low.args.values[b.whole] if b.whole is not None and y.dtype == F32 else None
    if constant is not None and b.whole is not None and not product.batch:
        perm = [b.labels.index(label) for label in product.columns + product.summed]
        weights = np.ascontiguousarray(constant.transpose(perm)).reshape(n, k)
        if k != 1 and left.strides[1] != 1:
            source, left = left, low.temp((m, k))
            low.copy(left, source)
        emit_rows(low, y.view((m, n)), left, weights, (low.node.input(b.whole), "einsum", tuple(perm), len(product.columns)), None)
        return
    right = _matrices(low, b, product.batch + product.summed + product.columns, (*batch, k, n))
    emit = emit_matmul if y.dtype == F32 else emit_typed_matmul
    emit(low, y.view((*batch, m, n)), left, right)


def _matrices(low: Lowering, term: Term, order: str, shape: tuple[int, ...]) -> Tensor:
    """An operand with its axes in this order and merged to `shape`; copied where no strides say it."""
    turned = term.tensor.transpose(tuple(term.labels.index(label) for label in order))
    view = turned.reshape(shape)
    if view is not None:
        return view
    copy = low.temp(turned.shape, turned.dtype)
    low.copy(copy, turned)
    return copy.view(shape)


def _terms(args: Args) -> list[str]:
    """Labels of the inputs and of the output, ellipses as labels of their own. Raises ShapeError."""
    equation = args.node.attrs.get("equation", "").replace(" ", "")
    left, arrow, output = equation.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(args.specs):
        raise bad_shape(args, f"equation={equation!r} for {len(args.specs)} inputs")
    inputs = [_spelled(args, term, args.spec(i).rank) for i, term in enumerate(inputs)]
    hidden = max((sum(c in ELLIPSIS for c in term) for term in inputs), default=0)
    ellipsis = ELLIPSIS[:hidden][::-1]
    if not arrow:
        times = Counter("".join(inputs))
        output = ellipsis + "".join(sorted(c for c in times if times[c] == 1 and c not in ELLIPSIS))
    output = output.replace("...", ellipsis)
    if not all(c.isalpha() for c in "".join([*inputs, output])):
        raise bad_shape(args, f"equation={equation!r}")
    return [*inputs, output]


def _spelled(args: Args, term: str, rank: int) -> str:
    """The labels of an input of that rank."""
    hidden = rank - len(term.replace("...", ""))
    spelled = term.replace("...", ELLIPSIS[:max(hidden, 0)][::-1], 1)
    if len(spelled) != rank or hidden > len(ELLIPSIS):
        raise bad_shape(args, f"{term!r} of the equation for {rank} axes")
    return spelled


def _sizes(args: Args, inputs: Sequence[str]) -> dict[str, int]:
    """Extent of every label; 1 gives way to others. Raises ShapeError."""
    sizes: dict[str, int] = {}
    for i, labels in enumerate(inputs):
        for label, n in zip(labels, args.spec(i).shape):
            if sizes.setdefault(label, n) == 1:
                sizes[label] = n
            if n not in (1, sizes[label]):
                raise bad_shape(args, f"extents {sizes[label]} and {n} for one label")
    return sizes


OPERATORS: dict[str, Op] = {"Einsum": Einsum()}
