"""Dense, depthwise and 1x1 convolution as one step against its parts in float64, and the planner's decision to fuse."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from conv_step import place
from onnx import TensorProto, helper, numpy_helper
from step_helper import Guarded, assert_close, run_step, second_rounding, table_of_bytes, tolerance, unary_number
from test_kernel_conv_bf16 import to_float

import fastcnn
from fastcnn import _native
from fastcnn.convolve.bf16_gemm import pack_pairs, rounded
from fastcnn.fusions import conv_depthwise
from fastcnn.fusions.conv_depthwise import pack_vectors

rng = np.random.default_rng(0)


def windows(x, k, stride, pad):
    """(k, k, oh, ow, C): the inputs of every tap."""
    padded = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    oh, ow = ((n + 2 * pad - k) // stride + 1 for n in x.shape[:2])
    return np.stack([np.stack([padded[r:r + (oh - 1) * stride + 1:stride, s:s + (ow - 1) * stride + 1:stride] for s in range(k)])
                     for r in range(k)])


@dataclass(frozen=True)
class Case:
    """first, depthwise: kernel, stride, pad; ic, c and oc channels (oc 0: nothing follows the depthwise convolution).

    residual: one of its own; skip: the first convolution's result.
    """

    ic: int
    c: int
    depthwise: tuple[int, int, int]
    first: tuple[int, int, int] = (1, 1, 0)
    oc: int = 0
    residual: bool = False
    skip: bool = False
    h: int = 11
    w: int = 9
    n: int = 1


def operands(case: Case):
    """x, w1 (c, kh, kw, ic), b1, w2 (k, k, c), b2, w3 (oc, c), b3."""
    k1, k2 = case.first[0], case.depthwise[0]
    shapes = ((case.n, case.h, case.w, case.ic), (case.c, k1, k1, case.ic), (case.c,), (k2, k2, case.c), (case.c,), (case.oc, case.c),
              (case.oc,))
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def relu_conv(x, w, b, window):
    return np.maximum(np.einsum("rsijc,orsc->ijo", windows(x, *window), w.astype(np.float64)) + b, 0)


def reference(case: Case, x, w1, b1, w2, b2, w3, b3):
    """w3 Relu(depthwise(Relu(w1 * x + b1)) + b2) + b3 on (N, H, W, C) in float64; residual added by the caller."""
    images = []
    for image in x.astype(np.float64):
        wide = relu_conv(image, w1, b1, case.first)
        y = np.maximum(np.einsum("rsijc,rsc->ijc", windows(wide, *case.depthwise), w2.astype(np.float64)) + b2, 0)
        images.append(y @ w3.T.astype(np.float64) + b3 + (wide if case.skip else 0) if case.oc else y)
    return np.stack(images)


def run(case: Case, data, shape, *, block: int, threads: int, nv: int, fn: str = "Relu", residual=None, means=None, first_bf16: int = 0,
        last_bf16: int = 0, halves: str = "", tables=(), alpha: float = 0.0, beta: float = 0.0, last: tuple = ("None", 0.0, 0.0)):
    """The step's result, margins checked. halves: which of x, y, r are bfloat16; tables: see the step; last: the last epilogue."""
    x, w1, b1, w2, b2, w3, b3 = data
    n, oh, ow, channels = shape
    (k1, s1, p1), (k2, s2, p2) = case.first, case.depthwise
    ih, iw = ((extent + 2 * p1 - k1) // s1 + 1 for extent in (case.h, case.w))
    y = Guarded(np.full(shape, 85, np.uint16) if "y" in halves else np.full(shape, np.nan, np.float32), output=True)
    act = {f"{part}{key}": value for part in ("", "first_") for key, value in (("fn", unary_number(fn)), ("alpha", alpha), ("beta", beta))}
    w4 = pack_pairs(w3[:, :, None, None], 1, 1, True) if last_bf16 else _native.pack_gemm_b(w3, False, 1) if case.oc else None
    end = [Guarded(w4), Guarded(b3)] if case.oc else [None, None]
    packed = pack_pairs(w1.transpose(0, 3, 1, 2), 1, nv, True) if first_bf16 else _native.pack_gemm_b(w1.reshape(case.c, -1), False, nv)
    status = run_step(
        "conv_depthwise", [y, Guarded(rounded(x) if "x" in halves else x), Guarded(packed), Guarded(b1),
                           Guarded(pack_vectors(w2.transpose(2, 0, 1)[:, None])), Guarded(b2), *end, residual, means, *tables], threads,
        n=n, kh=k2, kw=k2, sh=s2, sw=s2, dh=1, dw=1, pt=p2, pl=p2, ih=ih, iw=iw, oh=oh, ow=ow, ic=case.ic, c=case.c, oc=case.oc,
        **place("x", case.h, case.w, case.ic), **place("y", oh, ow, channels), **place("r", oh, ow, channels), **act, block=block,
        first_kh=k1, first_kw=k1, first_sh=s1, first_sw=s1, first_pt=p1, first_pl=p1, first_ih=case.h, first_iw=case.w, first_nv=nv,
        first_band=int(p1 > 0), last_fn=unary_number(last[0]), last_alpha=last[1], last_beta=last[2], last_nv=1, skip=int(case.skip),
        tile_rows=2 if (s2, k2) in ((1, 3), (1, 5), (1, 7)) else 1, first_pair=0, last_pair=0, first_halves=1, last_halves=1,
        first_bf16=first_bf16, last_bf16=last_bf16, **{f"{name}_half": int(name in halves) for name in "xyr"})
    assert status == 0
    return to_float(y.array) if "y" in halves else y.array


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 3, 11])
@pytest.mark.parametrize("kernel,stride,pad", [(3, 1, 1), (3, 2, 1), (5, 1, 2), (5, 2, 2), (3, 1, 0), (7, 1, 3), (1, 1, 0), (4, 2, 1)])
@pytest.mark.parametrize("ic,c", [(1, 1), (3, 17), (16, 96), (24, 144)])
def test_pair_equals_its_halves(isa, ic, c, kernel, stride, pad, block, threads):
    case = Case(ic, c, (kernel, stride, pad))
    data = operands(case)
    expected = reference(case, *data)
    y = run(case, data, expected.shape, block=block, threads=threads, nv=2)
    assert_close(y, expected, tolerance(ic * kernel * kernel), str(case))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("block", [1, 3, 11])
@pytest.mark.parametrize("case", [Case(2, 17, (3, 1, 1), n=2), Case(16, 96, (3, 2, 1)), Case(24, 40, (5, 1, 2), (1, 2, 0)),
                                  Case(6, 33, (3, 1, 1), (3, 2, 1), h=21, w=33)], ids=str)
@pytest.mark.parametrize("fn", ["Relu", "Swish"])
def test_first_convolution_in_bfloat16(pairs, case, block, threads, fn):
    """The same bits from floats that need no rounding and from bfloat16 in memory, and to it; sums are those of rounded operands."""
    data = operands(case)
    data[0], data[1] = to_float(rounded(data[0])), to_float(rounded(data[1]))
    expected = reference(case, *data)
    for nv in (nv for nv in (1, 2, 4) if _native.pgemm_max_mr(nv)):
        got, halves, narrow = (run(case, data, expected.shape, block=block, threads=threads, nv=nv, fn=fn, first_bf16=1, halves=half)
                               for half in ("", "x", "y"))
        np.testing.assert_array_equal(got, halves)
        np.testing.assert_array_equal(to_float(rounded(got)), narrow)
        if fn == "Relu":
            assert_close(got, expected, tolerance(case.ic * 81), str(case))


TRIPLES = [Case(3, 8, (3, 1, 1), (3, 2, 1), 5, h=21, w=33), Case(3, 8, (3, 2, 1), (3, 2, 1), 0, h=21, w=33, n=2),
           Case(2, 7, (5, 1, 2), (3, 1, 1), 17, True), Case(4, 8, (3, 1, 1), (1, 1, 0), 33, True, n=3),
           Case(1, 3, (3, 2, 1), (5, 2, 2), 1, h=30, w=7), Case(3, 8, (3, 1, 1), (2, 2, 0), 16, True, h=8, w=8)]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("block", [1, 2, 30])
@pytest.mark.parametrize("case", TRIPLES, ids=str)
def test_last_convolution_in_bfloat16(pairs, case, block, threads):
    """Beside the same step with rows of floats between its two parts; y and the residual in memory as bfloat16 too."""
    case = replace(case, c=min(case.c, 4 * _native.vector_length()))
    nv = -(-case.c // _native.vector_length())
    if not case.oc or not _native.pgemm_max_mr(nv) or (case.c % 2 and not _native.pgemm_odd_runs()):
        pytest.skip("no such convolution, or tiles")
    data = operands(case)
    data[5] = to_float(rounded(data[5]))
    exact = reference(case, *data)
    residual = to_float(rounded(rng.standard_normal(exact.shape).astype(np.float32))) if case.residual else None
    added = 0 if residual is None else residual
    options = {"block": block, "threads": threads, "nv": nv, "last_bf16": 1}
    got = run(case, data, exact.shape, residual=residual, **options)
    wide = run(replace(case, oc=0, residual=False, skip=False), data, reference(replace(case, oc=0, skip=False), *data).shape,
               block=block, threads=threads, nv=nv)
    between, size = to_float(rounded(wide)) - wide.astype(np.float64), abs(wide) @ abs(data[5].T)
    assert (abs(got - (exact + added) - between @ data[5].T.astype(np.float64)) <= 1e-5 * (size + abs(exact) + abs(added) + 1)).all()
    narrow = run(case, data, exact.shape, residual=None if residual is None else Guarded(rounded(residual)), halves="yr", **options)
    np.testing.assert_array_equal(narrow, to_float(rounded(got)))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 2, 30])
@pytest.mark.parametrize("case", TRIPLES, ids=str)
def test_first_layer_and_what_follows_equal_their_parts(isa, case, block, threads):
    data = operands(case)
    nv = -(-case.c // _native.vector_length())
    if case.oc and nv > 4:
        case, nv = replace(case, c=3), 3
        data = operands(case)
    expected = reference(case, *data)
    residual = rng.standard_normal(expected.shape).astype(np.float32) if case.residual else None
    y = run(case, data, expected.shape, block=block, threads=threads, nv=min(nv, 2 if not case.oc else 4),
            residual=None if residual is None else Guarded(residual))
    assert_close(y, expected if residual is None else expected + residual, tolerance(case.c + 9 * case.ic), str(case))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", [*TRIPLES[:4], Case(3, 16, (3, 1, 1), (3, 2, 1), 16, skip=True, h=21, w=33)], ids=str)
def test_rounded_values_are_looked_up_and_added(isa, case, threads):
    """Each part of the step with its table equals one whose weights have it from the part before: the identity beside what it makes."""
    case = replace(case, c=min(case.c, _native.vector_length()), oc=min(case.oc, _native.vector_length()) if case.skip else case.oc)
    x, w1, b1, w2, b2, w3, b3 = operands(case)
    data, table = (9 * x, w1, b1, w2 / 9, b2, np.rint(w3), np.rint(b3)), table_of_bytes()
    bounds = {"fn": "RoundClip", "alpha": -117, "beta": 138}
    wide = reference(replace(case, oc=0, skip=False), *data).shape
    plain = replace(case, oc=0, residual=False, skip=False)
    tables = [Guarded(table), Guarded(table)]
    between = run(plain, data, wide, block=2, threads=threads, nv=1, tables=[tables[0]], **bounds)
    found = run(plain, data, wide, block=2, threads=threads, nv=1, tables=tables, **bounds)
    np.testing.assert_array_equal(found, table[between.astype(int) % 256])
    if not case.oc or not (case.residual or case.skip):
        return
    shape = (*wide[:3], case.oc)
    given = np.rint(20 * rng.standard_normal(shape)).astype(np.float32)
    if case.skip:       # the first convolution's result: of a depthwise window of one tap
        given = table[run(replace(plain, depthwise=(1, 1, 0)), (9 * x, w1, b1, np.ones_like(w2[:1, :1]), 0 * b2, w3, b3), wide, block=2,
                          threads=threads, nv=1, tables=[None], **bounds).astype(int) % 256].astype(np.float32)
    factor = Guarded(np.full(1, 0.37, np.float32))
    got = run(case, data, shape, block=2, threads=threads, nv=1, residual=Guarded(given) if case.residual else None,
              tables=[*tables, factor], last=("RoundTwice", 1.7, 2.0 + 256 * 3), **bounds)
    first = np.clip(np.rint(found @ data[5].T.astype(np.float64) + data[6]), -2, 253).astype(np.float32)
    np.testing.assert_array_equal(got, second_rounding(first, given, 1.7, 0.37, 3))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 2, 4, 30])
@pytest.mark.parametrize("case", [Case(3, 16, (3, 1, 1), (3, 2, 1), 16, skip=True, h=21, w=33),
                                  Case(2, 7, (5, 1, 2), (3, 1, 1), 7, skip=True),
                                  Case(5, 1, (1, 1, 0), (1, 1, 0), 1, skip=True, n=2)], ids=str)
def test_connection_that_skips_two_layers_is_read_from_the_ring(isa, case, block, threads):
    c = min(case.c, _native.vector_length())
    case = replace(case, c=c, oc=c)
    data = operands(case)
    expected = reference(case, *data)
    assert_close(run(case, data, expected.shape, block=block, threads=threads, nv=1), expected, tolerance(c + 9 * case.ic), str(case))


@pytest.mark.parametrize("fn", ["Relu", "Swish"])
@pytest.mark.parametrize("case", [Case(16, 40, (3, 1, 1)), Case(3, 17, (5, 2, 2), n=2), Case(1, 96, (3, 1, 1), h=1, w=1),
                                  Case(2, 5, (3, 1, 1), w=4)], ids=str)
def test_means_of_rows_are_the_same_bits_for_any_number_of_threads(isa, case, fn):
    data = operands(case)
    shape = reference(case, *data).shape
    results = []
    for threads, block in ((1, 2), (2, 2), (3, 2), (1, 7)):
        means = Guarded(np.full((*shape[:2], shape[3]), np.nan, np.float32), output=True)
        y = run(case, data, shape, block=block, threads=threads, nv=2, fn=fn, means=means)
        assert_close(means.array, y.astype(np.float64).mean(axis=2), tolerance(shape[2]), str(case))
        results.append(means.array)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


@pytest.mark.parametrize("case", [Case(16, 40, (3, 1, 1)), TRIPLES[0]], ids=str)
def test_any_activation_and_the_same_bits_for_any_number_of_threads(isa, case):
    if _native.vector_length() == 1:
        case = replace(case, c=4)
    data = operands(case)
    shape = reference(case, *data).shape
    nv = 4 if case.oc and _native.vector_length() == 1 else 2
    one = run(case, data, shape, block=2, threads=1, nv=nv, fn="Swish")
    for threads in (2, 3):
        np.testing.assert_array_equal(run(case, data, shape, block=2, threads=threads, nv=nv, fn="Swish"), one)


def network(activation: str):
    """1x1 expansion, activation, depthwise 3x3 stride 2, activation."""
    seeded = np.random.default_rng(1)
    tensors = [numpy_helper.from_array((seeded.standard_normal(shape) * 0.3).astype(np.float32), name) for name, shape in
               {"w1": (48, 8, 1, 1), "b1": (48,), "w2": (48, 1, 3, 3)}.items()]
    nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["wide"]), helper.make_node(activation, ["wide"], ["act"]),
             helper.make_node("Conv", ["act", "w2"], ["dw"], group=48, pads=[1] * 4, strides=[2, 2]),
             helper.make_node("Relu", ["dw"], ["y"])]
    graph = helper.make_graph(nodes, "pair", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, "h", "w"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def kinds(model) -> list[str]:
    return [step.kind for step in next(iter(model._default.plans.values())).direct.steps]


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid"])
def test_planner_fuses_what_outgrows_the_cache_with_the_same_numbers(monkeypatch, on_pixels, plan_for, activation):
    plan_for("sapphire_rapids")
    x = rng.standard_normal((2, 8, 13, 15)).astype(np.float32)
    apart = fastcnn.load(network(activation), threads=1)
    before = apart(x)
    assert "conv_depthwise" not in kinds(apart)
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 0)
    together = fastcnn.load(network(activation), threads=2)
    np.testing.assert_allclose(together(x), before, rtol=1e-5, atol=1e-6)
    assert "conv_depthwise" in kinds(together)


def test_planner_keeps_a_tensor_that_somebody_asks_for(monkeypatch):
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 0)
    model = fastcnn.load(network("Relu"), threads=1)
    x = rng.standard_normal((1, 8, 6, 6)).astype(np.float32)
    wide, y = model.run(["act", "y"], {"x": x})
    assert wide.shape == (1, 48, 6, 6) and wide.min() == 0
    np.testing.assert_allclose(y, model(x), rtol=1e-5, atol=1e-6)


def stem(last: str):
    """Conv 3x3 stride 2, Relu, depthwise 3x3, Relu and a 1x1 Conv that `last` makes fit for fusion or not, or a depthwise Conv follows."""
    seeded = np.random.default_rng(2)
    shapes = {"w1": (16, 3, 3, 3), "b1": (16,), "w2": (16, 1, 3, 3), "w3": (12, 16, 1, 1), "w4": (12, 1, 3, 3)}
    tensors = [numpy_helper.from_array((seeded.standard_normal(shape) * 0.3).astype(np.float32), name) for name, shape in shapes.items()]
    nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[1] * 4, strides=[2, 2]), helper.make_node("Relu", ["a"], ["ra"]),
             helper.make_node("Conv", ["ra", "w2"], ["d"], group=16, pads=[1] * 4), helper.make_node("Relu", ["d"], ["rd"]),
             helper.make_node("Conv", ["rd", "w3"], ["p"], strides=[2, 2] if last == "strided" else [1, 1]),
             helper.make_node("HardSwish", ["p"], ["hp" if last == "followed" else "y"])]
    if last == "followed":
        nodes.append(helper.make_node("Conv", ["hp", "w4"], ["y"], group=12, pads=[1] * 4))
    outputs = ["y", "rd"] if last == "shared" else ["y"]
    graph = helper.make_graph(nodes, "stem", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
                              [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("last,steps", [("plain", 1), ("strided", 2), ("shared", 2), ("followed", 1)])
def test_planner_takes_the_first_layer_and_the_projection_along(monkeypatch, on_pixels, last, steps):
    x = rng.standard_normal((2, 3, 27, 22)).astype(np.float32)
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 1e9)
    before = fastcnn.load(stem(last), threads=1).run(None, {"x": x})
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 0)
    together = fastcnn.load(stem(last), threads=2)
    for got, expected in zip(together.run(None, {"x": x}), before):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    found = [kind for kind in kinds(together) if "conv" in kind]
    if _native.vector_length() == 1:        # no panel of single lanes is 16 channels wide: the projection is not taken along
        steps = 2
    assert found[0] == "conv_depthwise" and len(found) == steps, found


def block(kind: str, c: int):
    """Conv 3x3, HardSwish, depthwise 3x3, Relu, 1x1 Conv and the first result added; `kind` spoils it or not."""
    seeded = np.random.default_rng(3)
    side = 5 if kind == "shrinks" else 3
    shapes = {"w1": (c, 3, 3, 3), "w2": (c, 1, side, side), "w3": (c, c, 1, 1)}
    tensors = [numpy_helper.from_array((seeded.standard_normal(shape) * 0.3).astype(np.float32), name) for name, shape in shapes.items()]
    nodes = [helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1] * 4), helper.make_node("HardSwish", ["a"], ["h"]),
             helper.make_node("Conv", ["h", "w2"], ["d"], group=c, pads=[1] * 4), helper.make_node("Relu", ["d"], ["r"]),
             helper.make_node("Conv", ["r", "w3"], ["p"], pads=[1] * 4 if kind == "shrinks" else [0] * 4),
             helper.make_node("Add", ["p", "h"], ["s"]),
             helper.make_node("Mul", ["s", "h"], ["y"]) if kind == "third" else helper.make_node("Relu", ["s"], ["y"])]
    outputs = {"shared": ["y", "h"], "inner": ["y", "r"]}.get(kind, ["y"])
    graph = helper.make_graph(nodes, "block", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 21, 26])],
                              [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("kind", ["plain", "shared", "inner", "third", "shrinks", "wide"])
def test_planner_takes_a_skipped_connection_along(monkeypatch, on_pixels, kind):
    c = 2 * _native.vector_length() if kind == "wide" else max(2, _native.vector_length())
    x = rng.standard_normal((1, 3, 21, 26)).astype(np.float32)
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 1e9)
    before = fastcnn.load(block(kind, c), threads=1).run(None, {"x": x})
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 0)
    together = fastcnn.load(block(kind, c), threads=2)
    for got, expected in zip(together.run(None, {"x": x}), before):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    found = [step for step in kinds(together) if "conv" in step or step == "depthwise"]
    fits = kind == "plain" and c <= _native.vector_length()
    assert found == (["conv_depthwise"] if fits else found) and ("conv_depthwise" in found) == fits, found


@pytest.mark.parametrize("c,pools", [(24, 1), (512, 2)])
def test_squeeze_averages_the_means_of_rows(monkeypatch, on_pixels, c, pools):
    seeded = np.random.default_rng(4)
    shapes = {"w1": (c, 3, 1, 1), "w2": (c, 1, 3, 3), "w3": (5, c, 1, 1)}
    tensors = [numpy_helper.from_array(seeded.standard_normal(shape).astype(np.float32), name) for name, shape in shapes.items()]
    nodes = [helper.make_node("Conv", ["x", "w1"], ["a"]), helper.make_node("Conv", ["a", "w2"], ["d"], group=c, strides=[2, 2]),
             helper.make_node("Sigmoid", ["d"], ["s"]), *[helper.make_node("GlobalAveragePool", ["s"], [f"g{i}"]) for i in range(pools)],
             helper.make_node("Mul", ["s", "g0"], ["m"]), helper.make_node("Conv", ["m", "w3"], ["y"])]
    outputs = ["y", *[f"g{i}" for i in range(pools)], "s"]
    graph = helper.make_graph(nodes, "squeeze", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 19, 15])],
                              [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs], tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = rng.standard_normal((3, 3, 19, 15)).astype(np.float32)
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 1e9)
    apart = fastcnn.load(proto, threads=1)
    before = apart.run(None, {"x": x})
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 0)
    together = fastcnn.load(proto, threads=2)
    for got, expected in zip(together.run(None, {"x": x}), before):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    stages = [next(iter(model._default.plans.values())).direct for model in (apart, together)]
    work = [[step.work for step in stage.steps if step.kind == "pool"] for stage in stages]
    assert len(work[1]) == pools and max(work[1]) * 7 == max(work[0]), work         # 7 columns


def test_biases_that_the_run_computes_are_added(monkeypatch):
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 0)
    seeded = np.random.default_rng(5)
    shapes = {"w1": (8, 3, 1, 1), "w2": (8, 1, 3, 3), "w3": (4, 8, 1, 1)}
    tensors = [numpy_helper.from_array(seeded.standard_normal(shape).astype(np.float32), name) for name, shape in shapes.items()]
    nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["a"]), helper.make_node("Conv", ["a", "w2", "b2"], ["d"], group=8),
             helper.make_node("Conv", ["d", "w3", "b3"], ["y"])]
    inputs = {"x": [1, 3, 9, 7], "b1": [8], "b2": [8], "b3": [4]}
    graph = helper.make_graph(nodes, "biases", [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in inputs.items()],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feeds = {name: seeded.standard_normal(shape).astype(np.float32) for name, shape in inputs.items()}
    fused = fastcnn.load(proto, threads=1)
    got = fused.run(None, feeds)[0]
    assert "conv_depthwise" in kinds(fused)
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 1e9)
    np.testing.assert_allclose(got, fastcnn.load(proto, threads=1).run(None, feeds)[0], rtol=1e-4, atol=1e-5)
