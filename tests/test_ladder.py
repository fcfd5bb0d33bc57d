"""The ladder: every convolution and constant product has one row that says which rung computes it, tuning sees every rung."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from conv_step import assert_alike
from graph_helper import model
from onnx import TensorProto, helper
from test_passes_unshared_convolution import matmul_form

import fastcnn
from fastcnn import _native, sources
from fastcnn.convolve.arithmetic import U8S8
from fastcnn.convolve.decision import CostModel, Decision
from fastcnn.convolve.ladder import LADDER, candidates, changes_layout, choose, cycles, pack, packed_spec
from fastcnn.convolve.quantized_gemm import QUANTIZED_INSIDE, has_dots
from fastcnn.convolve.shape import ConvShape, Problem, own_places
from fastcnn.ir.tensor import dense_strides
from fastcnn.machine import current
from fastcnn.machine.numbers import Machine
from fastcnn.tune.trial import Trials

SHAPES = {
    "dense": ConvShape(1, 1, 32, 48, 3, 3, 1, 1, 1, 1, 1, 1, 28, 28, 28, 28),
    "dilated": ConvShape(1, 1, 32, 48, 3, 3, 1, 1, 2, 2, 2, 2, 28, 28, 28, 28),
    "pointwise": ConvShape(2, 1, 24, 33, 1, 1, 1, 1, 1, 1, 0, 0, 17, 15, 17, 15),
    "stride 2": ConvShape(1, 1, 20, 37, 3, 3, 2, 2, 1, 1, 1, 1, 15, 17, 8, 9),
    "depthwise": ConvShape(1, 40, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1, 30, 33, 30, 33),
    "depthwise stride 2": ConvShape(1, 40, 1, 1, 5, 5, 2, 2, 1, 1, 2, 2, 60, 61, 30, 31),
    "narrow groups": ConvShape(1, 16, 4, 4, 3, 3, 1, 1, 1, 1, 1, 1, 12, 13, 12, 13),
    "other narrow groups": ConvShape(1, 10, 3, 5, 3, 3, 1, 1, 1, 1, 1, 1, 12, 13, 12, 13),
    "groups of one and a half vectors": ConvShape(1, 4, 24, 24, 3, 3, 1, 1, 1, 1, 1, 1, 12, 13, 12, 13),
    "pointwise groups": ConvShape(2, 3, 7, 9, 1, 1, 1, 1, 1, 1, 0, 0, 10, 13, 10, 13),
    "first layer": ConvShape(1, 1, 3, 33, 3, 3, 2, 2, 1, 1, 1, 1, 64, 64, 32, 32),
}


def problems(threads: int = 1) -> Iterator[Problem]:
    """On pixels, of bytes and in bfloat16 too, and on planes."""
    for shape in SHAPES.values():
        of_bytes = replace(shape, arithmetic=U8S8)
        yield Problem(of_bytes, own_places(of_bytes), threads)
        yield Problem(shape, own_places(shape), threads)
        yield Problem(shape, own_places(shape), threads, rounds=True)
        yield Problem(shape, own_places(shape), threads, weights="int8")
        yield Problem(shape, (dense_strides(shape.x_extents), dense_strides(shape.y_extents)), threads, planes=True)


def test_every_rung_is_picked_or_tried_for_some_problem(isa: str) -> None:
    tried = {choice.rung for problem in problems() for choice in candidates(problem).values()}
    never = {rung.name for rung in LADDER} - tried - (set() if _native.pgemm_max_mr(1) else {"GEMM in bfloat16"})
    never -= set() if has_dots() else {QUANTIZED_INSIDE.name}
    short = {"joined groups", "rotated groups", "groups by lanes", "8-bit GEMM of joined groups"}      # vectors for them
    assert not never or (never <= short and _native.vector_length() < 16)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_picked_is_a_candidate_and_has_a_time(isa: str, threads: int) -> None:
    for problem in problems(threads):
        listed = candidates(problem)
        assert choose(problem) in listed.values()
        assert all(cycles(choice, threads) > 0 for choice in listed.values())


def test_what_rungs_say_of_packed_weights_is_what_they_pack(isa: str) -> None:
    """Packs that come from a file are held to it."""
    said = 0
    for problem in problems():
        shape = problem.shape
        w_shape = shape.groups * shape.oc, shape.ic, shape.kh, shape.kw
        for choice in candidates(problem).values():
            spec = packed_spec(choice, w_shape)
            packed = pack(choice, np.ones(w_shape, shape.arithmetic.w))
            assert spec is None or (packed.dtype, packed.shape) == (spec.dtype, spec.shape), choice
            said += spec is not None
    assert said > 50


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", SHAPES)
def test_candidates_on_planes_compute_the_same(isa: str, kind: str, threads: int) -> None:
    shape = SHAPES[kind]
    problem = Problem(shape, (dense_strides(shape.x_extents), dense_strides(shape.y_extents)), threads, planes=True)
    listed = candidates(problem)
    trials = Trials(problem, listed)
    assert any(changes_layout(problem, choice) for choice in listed.values())
    assert_alike(trials, 3e-5)


def test_the_planes_of_a_layer_are_weighed_against_pixels(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chooser that likes no rung on planes gets pixels, and the same numbers."""
    class OnPixels(CostModel):
        def conv(self, problem: Problem) -> Decision:
            return Decision(problem, choose(problem.on_pixels() if problem.planes else problem))

    for attrs, w in (({}, (24, 16, 1, 1)), ({"group": 16, "pads": [1] * 4}, (16, 1, 3, 3))):
        layer = conv(w, [1, 16, 30, 31], **attrs)
        x = np.random.default_rng(0).random((1, 16, 30, 31), np.float32)
        planes = fastcnn.load(layer, threads=1)
        with monkeypatch.context() as patch:
            patch.setattr(sources, "CostModel", OnPixels)
            pixels = fastcnn.load(layer, threads=1)
            y = pixels(x)
        np.testing.assert_allclose(planes(x), y, rtol=0, atol=1e-5)
        (row,), (other,) = planes.choices(), pixels.choices()
        assert row.algorithm.startswith("planes") and not other.algorithm.startswith("planes")


def conv(w: Sequence[int], x: Sequence[int], **attrs: object) -> bytes:
    """A lone Conv."""
    weights = np.random.default_rng(1).standard_normal(w).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], "layer", **attrs)
    return model([node], {"x": list(x)}, ["y"], {"w": weights}).SerializeToString()


LONE = {
    "pointwise": ((24, 16, 1, 1), [1, 16, 30, 31], {}, "planes product"),
    "depthwise": ((16, 1, 3, 3), [1, 16, 30, 31], {"group": 16, "pads": [1] * 4}, "planes depthwise"),
    "depthwise stride 2 of small maps": ((16, 1, 3, 3), [1, 16, 20, 21], {"group": 16, "strides": [2, 2]}, "depthwise ring"),
    "dense": ((72, 80, 3, 2), [1, 80, 30, 31], {"strides": [2, 2]}, "GEMM in place"),
    "padded": ((24, 16, 3, 3), [1, 16, 30, 31], {"strides": [2, 2], "pads": [1] * 4}, "GEMM through a band"),
    "one axis": ((24, 16, 3), [1, 16, 30], {"strides": [2]}, "GEMM in place"),
    "few channels": ((8, 1, 3, 3), [1, 1, 28, 28], {"pads": [1] * 4}, "planes dense"),
    "three of small maps": ((16, 3, 3, 3), [1, 3, 28, 28], {"strides": [2, 2], "pads": [1] * 4}, "planes dense"),
    "half an eight": ((12, 12, 3, 3), [1, 12, 56, 56], {"pads": [1] * 4}, "planes dense"),
    "every other pixel of a large map": ((32, 64, 1, 1), [1, 64, 112, 112], {"strides": [2, 2]}, "planes dense"),
    "long sums": ((64, 32, 3, 3), [1, 32, 56, 56], {"strides": [2, 2], "pads": [1] * 4}, "GEMM through a band"),
    "Winograd's": ((16, 16, 3, 3), [1, 16, 56, 56], {"pads": [1] * 4}, "Winograd F(4,3)"),
    "Winograd's with a stride": ((64, 64, 3, 3), [1, 64, 57, 56], {"strides": [2, 2], "pads": [1] * 4}, "Winograd F(2,3)"),
    "three axes": ((24, 16, 1, 3, 3), [1, 16, 3, 9, 9], {"strides": [1, 2, 2]}, "GEMM in place"),
}


def only_ways() -> Iterator[tuple[str, bytes]]:
    """(the step, a network of one node that nothing else computes)."""
    w, doubles = np.ones((6, 4, 3, 3), np.float32), {"types": {"x": TensorProto.DOUBLE}}
    yield "deform_conv", model([helper.make_node("DeformConv", ["x", "w", "o"], ["y"])], {"x": [1, 4, 8, 8], "o": [1, 18, 6, 6]}, ["y"],
                               {"w": w}, opset=19).SerializeToString()
    yield "local_conv", matmul_form(3, 1, 1, 0).SerializeToString()
    yield "typed_matmul", model([helper.make_node("Conv", ["x", "w"], ["y"])], {"x": [1, 4, 8, 8]}, ["y"], {"w": w.astype(np.float64)},
                                **doubles).SerializeToString()
    yield "typed_matmul", model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [5, 4]}, ["y"], {"w": np.ones((4, 3))},
                                **doubles).SerializeToString()


@pytest.mark.parametrize("kind, layer", list(only_ways()), ids=["deform_conv", "local_conv", "conv of doubles", "product of doubles"])
def test_what_has_one_way_only_has_a_row_too(kind: str, layer: bytes) -> None:
    row, = fastcnn.load(layer, threads=1).choices()
    assert (row.algorithm, row.source, row.predicted_ms) == (kind, "only", None) and "x" in str(row)


@pytest.mark.parametrize("isa", ["avx2"], indirect=True)
@pytest.mark.parametrize("kind", LONE)
def test_a_lone_layer_has_a_row(kind: str, isa: str, plan_for: Callable[..., Machine]) -> None:
    w, x, attrs, expected = LONE[kind]
    plan_for("zen3", l1d_bytes=32 << 10, l2_bytes=512 << 10, l3_bytes=32 << 20)
    rows = fastcnn.load(conv(w, x, **attrs), threads=1).choices()
    assert rows and {row.algorithm for row in rows} == {expected}
    assert all(row.node == "layer" and row.predicted_ms is not None and row.predicted_ms > 0 for row in rows)


OTHERS = {
    "ConvTranspose": (helper.make_node("ConvTranspose", ["x", "w"], ["y"], "layer", strides=[2, 2]), [1, 8, 7, 9], [8, 5, 3, 3]),
    "Gemm": (helper.make_node("Gemm", ["x", "w"], ["y"], "layer"), [3, 20], [20, 7]),
    "MatMul": (helper.make_node("MatMul", ["x", "w"], ["y"], "layer"), [2, 3, 20], [20, 7]),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_operators_that_are_convolutions_inside_have_rows(kind: str) -> None:
    node, x, w = OTHERS[kind]
    weights = np.random.default_rng(1).standard_normal(w).astype(np.float32)
    rows = fastcnn.load(model([node], {"x": x}, {"y": TensorProto.FLOAT}, {"w": weights}).SerializeToString(), threads=1).choices()
    assert rows and all(row.node == "layer" for row in rows)


def test_a_choice_is_remembered_for_its_instruction_set_alone(monkeypatch):
    """Sub-levels have vectors of one length and other rates."""
    asked = []

    @current.cached
    def choice(problem):
        asked.append(problem)
        return len(asked)

    for isa, want in (("avx512", 1), ("avx512_vnni", 2), ("avx512", 1)):
        monkeypatch.setattr(current._native, "current_isa", lambda isa=isa: isa)
        assert choice("problem") == want
