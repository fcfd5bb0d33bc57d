"""The direct implementations of shape arithmetic against onnxruntime."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_helper import floats, onnxruntime_run
from reference_cases import Case, arrays, as_model, as_node, ints, names_of

from fastcnn.ir.errors import ExecutionError
from fastcnn.ir.graph import Node
from fastcnn.reference import evaluate
from fastcnn.reference.shape_arithmetic import SHAPE_ARITHMETIC

X, POSITIVE = np.array([[7, -7, 3], [-1, 0, 9]], np.int64), np.array([2, 3, 4], np.int64)
SIGNED = np.array([3, -3, 2], np.int64)


def binary() -> list[Case]:
    cases = [
        Case(op, 13, [x, y])
        for op in ("Add", "Sub", "Mul", "Div", "Max", "Min")
        for x, y in (
            (X, POSITIVE),
            (X, SIGNED),
            (X.astype(np.int32), SIGNED.astype(np.int32)),
            (floats(2, 3), np.abs(floats(3)) + np.float32(1)),
        )
    ]
    cases += [Case(op, 13, [X, POSITIVE]) for op in ("Equal", "Less", "Greater")]
    cases += [Case(op, 16, [floats(2, 3), floats(3)]) for op in ("LessOrEqual", "GreaterOrEqual")]
    cases += [Case(op, 7, [X > 0, POSITIVE > 2]) for op in ("And", "Or")]
    cases += [Case("Mod", 13, [X, SIGNED], {"fmod": f}) for f in (0, 1)] + [
        Case("Mod", 13, [floats(2, 3), floats(3)], {"fmod": 1})
    ]
    return [*cases, Case("Max", 13, [floats(2, 3), floats(3), floats(1)]), Case("Min", 13, [floats(2, 3)])]


def unary() -> list[Case]:
    cases = [Case(op, 13, [floats(3, 4)]) for op in ("Abs", "Neg", "Floor", "Ceil", "Identity")]
    cases += [Case("Exp", 13, [floats(3, 4)]), Case("Pow", 13, [np.abs(floats(3, 4)), np.float32(2.5)]),
              Case("Pow", 13, [ints(2, 3), ints(3)])]
    cases += [Case("Sqrt", 13, [np.abs(floats(3))]), Case("Not", 13, [X > 0]), Case("Neg", 13, [X])]
    numbers = np.array([1.7, 2.2, 0, 3], np.float32)
    cases += [Case("Cast", v, [x], {"to": to}) for v in (9, 13) for to in (1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13)
              for x in (numbers, POSITIVE, np.array([True, False]))]
    return [*cases, Case("Cast", 13, [-numbers], {"to": 7})]


def shapes() -> list[Case]:
    x = floats(2, 3, 4)
    cases = [Case("Shape", 13, [x]), Case("Size", 13, [x])]
    cases += [
        Case("Shape", 15, [x], a)
        for a in ({"start": -2}, {"end": -1}, {"start": 1, "end": 2}, {"start": 5}, {"start": -9, "end": 9})
    ]
    cases += [
        Case("Unsqueeze", 11, [x], {"axes": [0, -1]}),
        Case("Unsqueeze", 13, [x, ints(-1, 1)]),
        Case("Squeeze", 11, [floats(1, 3, 1)], {"axes": [-1]}),
        Case("Squeeze", 11, [floats(1, 3, 1)]),
        Case("Squeeze", 13, [floats(1, 3, 1), ints(0)]),
        Case("Squeeze", 13, [floats(1, 3, 1)], infers=False),
    ]
    cases += [
        Case("Reshape", 13, [x, ints(0, -1)]),
        Case("Reshape", 14, [floats(2, 0, 4), ints(0, 3, 4)], {"allowzero": 1}),
        Case("Transpose", 13, [x]),
        Case("Transpose", 13, [x], {"perm": [1, 0, 2]}),
        Case("Expand", 13, [floats(3, 1), ints(2, 1, 4)]),
        Case("Tile", 13, [x, ints(2, 1, 3)]),
    ]
    return cases + [Case("Flatten", 13, [x], {"axis": a}) for a in (0, 1, 2, 3, -1)]


def indexing() -> list[Case]:
    x = floats(4, 5, 6)
    cases = [
        Case("Slice", 9, [x], {"starts": [1, -3], "ends": [1000, -1], "axes": [0, 2]}),
        Case("Slice", 9, [x], {"starts": [1], "ends": [3]}),
    ]
    parts: list[list[Any]] = [
        [ints(1, 1), ints(3, 2)],
        [ints(1, -1), ints(1000, -100), ints(0, 2), ints(2, -2)],
        [ints(-1), ints(-(2**63)), ints(-1), ints(-1)],
        [ints(3), ints(1)],
        [ints(-100), ints(2**62), ints(1)],
    ]
    cases += [Case("Slice", 13, [x, *p]) for p in parts]
    cases += [
        Case("Gather", 13, [x, i], {"axis": a})
        for i in (np.array(-1), ints(0, 3), np.array([[0, 1], [-1, 2]]))
        for a in (0, -1)
    ]
    cases += [Case("Concat", 13, [floats(2, 3), floats(2, 4)], {"axis": -1}), Case("Where", 9, [X > 0, X, POSITIVE])]
    cases += [
        Case("Range", 11, [np.int64(a), np.int64(b), np.int64(c)])
        for a, b, c in ((1, 10, 3), (10, 1, -4), (1, 1, 1), (5, 1, 1))
    ]
    cases += [
        Case("Range", 11, [np.float32(0), np.float32(1), np.float32(0.1)]),
        Case("ConstantOfShape", 9, [ints(2, 3)]),
        Case("ConstantOfShape", 9, [np.zeros(0, np.int64)]),
    ]
    return cases


def reductions() -> list[Case]:
    x, cases = floats(2, 3, 4), []
    for op, since in (("ReduceSum", 13), ("ReduceProd", 18), ("ReduceMax", 18), ("ReduceMin", 18)):
        cases += [
            Case(op, 11, [x], {"axes": [0, 2]}),
            Case(op, 11, [x.astype(np.int32)], {"keepdims": 0}),
            Case(op, since, [x, ints(-1)]),
            Case(op, since, [x], {"keepdims": 0}),
            Case(op, since, [x], {"noop_with_empty_axes": 1}),
        ]
    return cases


CASES = binary() + unary() + shapes() + indexing() + reductions()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shape_arithmetic_gives_onnxruntimes_numbers(case: Case) -> None:
    names, _ = names_of(case)
    want = onnxruntime_run(as_model(case), {n: np.asarray(x) for n, x in zip(names, case.inputs)})[0]
    assert SHAPE_ARITHMETIC[case.op](as_node(case), arrays(case)) is not None
    got = evaluate(as_node(case), arrays(case))[0]
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=1e-6, atol=1e-6)


def test_every_direct_operator_has_a_case() -> None:
    assert set(SHAPE_ARITHMETIC) == {c.op for c in CASES}


def test_integer_division_by_zero_is_an_error() -> None:
    with pytest.raises(ExecutionError, match=r"Div 'd': .*division by zero"):
        evaluate(Node("Div", ("a", "b"), ("y",), {}, "d", version=13), [X, np.array([0, 1, 2])])


def test_cast_to_string_is_left_to_the_reference() -> None:
    assert evaluate(Node("Cast", ("x",), ("y",), {"to": 8}, version=13), [ints(3)])[0].tolist() == ["3"]
