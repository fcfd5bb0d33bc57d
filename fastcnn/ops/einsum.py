"""Einsum of two operands as one batched matrix product between views; of one operand as a view."""
from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from fastcnn.ops.base import Args, Lowering, Op, Spec, bad_shape
from fastcnn.ops.layout import movable, own_output
from fastcnn.ops.linear import emit_matmul, emit_rows
from fastcnn.tensor import Tensor


@dataclass(frozen=True)
class Product:
    """Labels of a two-operand equation: in both and kept, in a and kept, in b and kept, in both and summed."""

    batch: str
    rows: str
    columns: str
    summed: str


class Einsum(Op):
    """y = sums of products over the labels that the output lacks. ONNX Einsum-12.

    Native: two operands where every label that one has alone is kept, or one operand with its axes in another order; float32.
    Ellipses, diagonals, sums of one operand alone and extents broadcast from one go to the fallback.
    """

    def native(self, args: Args) -> bool:
        terms = _terms(args)
        specs = [args.spec(i) for i in range(len(args.specs))]
        if terms is None or not super().native(args) or not movable(*specs) or any(s.size == 0 for s in specs):
            return False
        extents = [(label, n) for term, spec in zip(terms, specs) for label, n in zip(term, spec.shape)]
        fitting = all(len(term) == spec.rank for term, spec in zip(terms, specs)) and len(set(extents)) == len({e[0] for e in extents})
        *inputs, output = terms
        alone = {label for label, times in Counter("".join(inputs)).items() if times == 1}
        return fitting and len(inputs) == len(specs) <= 2 and alone <= set(output) <= set("".join(inputs))

    def infer(self, args: Args) -> list[Spec]:
        *inputs, output = _terms(args) or [""]
        sizes = {label: n for i, term in enumerate(inputs) for label, n in zip(term, args.spec(i).shape)}
        if not set(output) <= sizes.keys():
            raise bad_shape(args, f"equation={args.node.attrs.get('equation')!r}")
        return [Spec(args.spec(0).dtype, tuple(sizes[label] for label in output))]

    def lower(self, low: Lowering) -> None:
        *inputs, output = _terms(low.args) or [""]
        if len(inputs) == 1:
            low.alias(0, low.read(0).transpose(tuple(inputs[0].index(label) for label in output)))
            return
        a, b = inputs
        product = Product("".join(c for c in output if c in a and c in b), "".join(c for c in output if c in a and c not in b),
                          "".join(c for c in output if c in b and c not in a), "".join(c for c in a if c not in output))
        natural = product.batch + product.rows + product.columns
        sizes = {**dict(zip(a, low.args.spec(0).shape)), **dict(zip(b, low.args.spec(1).shape))}
        shape = tuple(sizes[label] for label in natural)
        y = own_output(low, 0) if natural == output else low.temp(shape)
        self._emit(low, y, product, inputs, sizes)
        if natural != output:
            low.alias(0, y.transpose(tuple(natural.index(label) for label in output)))

    def _emit(self, low: Lowering, y: Tensor, product: Product, inputs: list[str], sizes: dict[str, int]) -> None:
        count = lambda labels: math.prod(sizes[label] for label in labels)  # noqa: E731
        m, n, k = count(product.rows), count(product.columns), count(product.summed)
        batch = tuple(sizes[label] for label in product.batch)
        left = _matrices(low, 0, inputs[0], product.batch + product.rows + product.summed, (*batch, m, k))
        constant = low.args.values[1]
        if constant is not None and not product.batch:
            perm = [inputs[1].index(label) for label in product.columns + product.summed]
            weights = np.ascontiguousarray(constant.transpose(perm)).reshape(n, k)
            if k != 1 and left.strides[1] != 1:
                source, left = left, low.temp((m, k))
                low.copy(left, source)
            emit_rows(low, _merged(y, (m, n)), left, weights, (low.node.input(1), "einsum", tuple(perm), len(product.columns)), None)
            return
        right = _matrices(low, 1, inputs[1], product.batch + product.summed + product.columns, (*batch, k, n))
        emit_matmul(low, _merged(y, (*batch, m, n)), left, right)


def _matrices(low: Lowering, i: int, labels: str, order: str, shape: tuple[int, ...]) -> Tensor:
    """Input i with its axes in the order of labels and merged to `shape`; copied where no strides say it."""
    t = low.read(i)
    turned = t.transpose(tuple(labels.index(label) for label in order))
    view = turned.reshape(shape)
    if view is not None:
        return view
    copy = low.temp(turned.shape)
    low.copy(copy, turned)
    return _merged(copy, shape)


def _merged(t: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A dense tensor under another shape."""
    view = t.reshape(shape)
    assert view is not None
    return view


def _terms(args: Args) -> list[str] | None:
    """Labels of the inputs and of the output; None for ellipses and repeated labels."""
    equation = args.node.attrs.get("equation", "").replace(" ", "")
    left, arrow, output = equation.partition("->")
    inputs = left.split(",")
    if not arrow:
        output = "".join(sorted(label for label, times in Counter(left.replace(",", "")).items() if times == 1))
    terms = [*inputs, output]
    plain = all(term.isalpha() or not term for term in terms) and all(len(set(term)) == len(term) for term in terms)
    return terms if plain else None
