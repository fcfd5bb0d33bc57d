"""Einsum as models of one node, against onnxruntime: products of matrices, and what is brought to them."""
from __future__ import annotations

import numpy as np
import pytest
from single_node import check_native, feeds_of, single_node

import fastcnn

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


@pytest.mark.parametrize("equation, shapes", [
    ("aa->a", [(3, 3)]), ("aa->", [(3, 3)]), ("aab->ab", [(3, 3, 4)]), ("aaa->a", [(3, 3, 3)]), ("ab->a", [(3, 4)]), ("ab->", [(3, 4)]),
    ("...ii->...i", [(2, 3, 5, 5)]), ("...b,bc->...c", [(2, 3, 4), (4, 5)]), ("b...,bc->c...", [(4, 3, 2), (4, 5)]),
    ("...ab,...bc->...ac", [(2, 3, 4, 5), (3, 5, 6)]), ("...ab,...bc", [(2, 1, 4, 5), (3, 5, 6)]), ("...a,...a->...", [(7, 4), (7, 4)]),
    ("ab,cd->ac", [(2, 3), (4, 5)]), ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)]), ("ab,bc,cd,de->ae", [(2, 3), (3, 4), (4, 5), (5, 6)]),
    ("bhqd,bhkd,bhkv->bhqv", [(2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 7)]),
    ("a,b,c->cab", [(2,), (3,), (4,)]), ("aab,bc->ac", [(3, 3, 4), (4, 5)]),
    ("ab,ab,ab->b", [(3, 4)] * 3), ("ab,cb->ac", [(3, 1), (4, 5)]), ("ab,ab->ab", [(1, 4), (3, 1)]), ("a...->...", [(3, 4)]),
    ("...ij->...ji", [(2, 3, 4)]), (",ab->ba", [(), (3, 4)])])
@pytest.mark.parametrize("known", [False, True])
def test_the_rest(equation, shapes, known):
    given = {f"x{k}": np.asarray(RNG.normal(size=s), np.float32) for k, s in enumerate(shapes)}
    check_native("Einsum", given, [f"x{len(shapes) - 1}"] if known and len(shapes) > 1 else [], opset=12, equation=equation,
                 peer="onnx.reference", rtol=3e-6)


@pytest.mark.parametrize("equation, shapes", [("ab,bc->ac", [(2, 3), (4, 5)]), ("ab->c", [(2, 3)]), ("abc->a", [(2, 3)]),
                                              ("ab,b->a", [(2, 3)]), ("ab->aa", [(2, 3)])])
def test_equations_that_do_not_fit_are_refused(equation, shapes):
    with pytest.raises(fastcnn.FastCNNError):
        given = {f"x{k}": np.zeros(s, np.float32) for k, s in enumerate(shapes)}
        model = single_node("Einsum", given, opset=12, equation=equation)
        fastcnn.load(model).run(None, feeds_of(model, given))


def test_nothing_to_sum_is_zeros():
    check_native("Einsum", {"x": np.zeros((2, 0), np.float32), "w": np.zeros((0, 3), np.float32)}, opset=12, equation="ab,bc->ac",
                 peer="onnx.reference")          # onnxruntime 1.23 ends the process
