"""Einsum as models of one node, against onnxruntime: what is a product of matrices natively, the rest in the fallback."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_fallback, check_native

RNG = np.random.default_rng(0)
SIZES = {"a": 2, "b": 3, "c": 5, "d": 7, "e": 4, "f": 6}


def operand(labels):
    return RNG.normal(size=[SIZES[label] for label in labels]).astype(np.float32)


@pytest.mark.parametrize("equation", ["ab,bc->ac", "ab,cb->ac", "ba,cb->ca", "abc,acd->abd", "abc,abd->acd", "abcd,aecd->abe",
                                      "abcd,abed->abce", "abc,cd->abd", "abc,dc->dab", "abcd,cdef->abef", "ab,c->abc", "a,a->", "ab,ab->",
                                      "ab,a->ab", "abc,acd->bda", "ab,bc", "ba,bc", "abcd,ebd->aec", "a,b->ba", "abc , abd -> a c d"])
@pytest.mark.parametrize("known", [False, True])
def test_two_operands(equation, known):
    a, b = equation.split("->")[0].replace(" ", "").split(",")
    check_native("Einsum", {"x": operand(a), "w": operand(b)}, ["w"] if known else [], opset=12, equation=equation)


@pytest.mark.parametrize("equation", ["ab->ba", "abc->cab", "abcd->acbd", "ba"])
def test_one_operand(equation):
    check_native("Einsum", {"x": operand(equation.split("->")[0])}, opset=12, equation=equation)


@pytest.mark.parametrize("equation, shapes", [("aa->a", [(3, 3)]), ("ab->a", [(3, 4)]), ("...b,bc->...c", [(2, 3, 4), (4, 5)]),
                                              ("ab,cd->ac", [(2, 3), (4, 5)]), ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)])])
def test_the_rest_falls_back(equation, shapes):
    check_fallback("Einsum", {f"x{k}": RNG.normal(size=s).astype(np.float32) for k, s in enumerate(shapes)}, opset=12, equation=equation)
