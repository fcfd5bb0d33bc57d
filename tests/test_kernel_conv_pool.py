"""A convolution and its pooling as one step against both in float64, and the planner's decision to make it."""
from __future__ import annotations

from dataclasses import replace

import conv_step
import numpy as np
import pytest
from graph_helper import floats, model, node, onnxruntime_run
from step_helper import Guarded, assert_close, run_step, tolerance, unary_number
from test_kernel_conv_bf16 import to_float
from test_kernel_pool import AVERAGE, LP, MAX, expected
from test_kernel_pool import Case as Window

import fastcnn
from fastcnn import _native
from fastcnn.convolve.bf16_gemm import pack_pairs, rounded
from fastcnn.convolve.blocking import strip_rows
from fastcnn.fusions import conv_pool

STEM = conv_step.Case(3, 17, 3, 3, oh=13, ow=15, sh=2, sw=2, pt=1, pl=1, pb=0, pr=1)
FIRST = [STEM, conv_step.Case(3, 33, 7, 5, oh=11, ow=16, n=2, sh=2, sw=2, pt=3, pl=2, pb=2, pr=1, y_gap=3),
         conv_step.Case(5, 8, oh=9, ow=14, x_gap=2), conv_step.Case(4, 16, 3, 3, oh=1, ow=30, pt=1, pb=1),
         conv_step.Case(1, 1, 3, 3, oh=7, ow=6, pt=1, pl=1, pb=1, pr=1)]
# kernel, strides, dilations, padding before and after, ceil_mode: 3x3 at 2 and 1, 2x2, dilated, strides past the window, all padding
POOLS = [((3, 3), (2, 2), (1, 1), (1, 1), (1, 1), False), ((3, 3), (2, 2), (1, 1), (0, 0), (0, 0), True),
         ((2, 2), (2, 2), (1, 1), (0, 0), (0, 0), True), ((3, 3), (1, 1), (1, 1), (1, 1), (1, 1), False),
         ((3, 2), (1, 2), (2, 1), (2, 0), (2, 1), False), ((2, 2), (3, 3), (1, 1), (1, 1), (1, 1), False),
         ((1, 3), (1, 3), (1, 1), (0, 1), (3, 1), False), ((1, 1), (1, 1), (1, 1), (2, 2), (2, 2), False)]


def window(case: conv_step.Case, k, s, d, before, after, ceil) -> Window:
    return Window(case.oh, case.ow, k, s, d, before, after, ceil, case.oc, case.n)


def run(case: conv_step.Case, data: conv_step.Operands, pool: Window, kind: int = MAX, include: int = 0, p: int = 2, *, nv: int = 2,
        block: int = 2, first_block: int = 1, threads: int = 1, fn: str = "Relu", slope: bool = False, rounds: bool = False,
        halves: str = "") -> np.ndarray:
    """The step's result, margins and gaps checked. rounds: the convolution is one in bfloat16; halves: which of x, y are in memory."""
    y = conv_step.spaced(np.full((case.n, *pool.out, case.oc), np.nan, np.float32), case.y_gap, output=True)
    if "y" in halves:
        y = Guarded(np.full((case.n, *pool.out, case.oc + case.y_gap), 85, np.uint16), output=True)
    margin = y.array.copy()
    x, pixel = conv_step.spaced(data.x, case.x_gap), case.ic + case.x_gap
    if "x" in halves:
        x = Guarded(rounded(x.array))
    fields = {f"{name}{axis}": value for name in ("k", "s", "d") for axis, value in zip("hw", getattr(pool, name))}
    first = {name: getattr(case, name) for name in ("kh", "kw", "sh", "sw", "pt", "pl", "ih", "iw")}
    w = Guarded(pack_pairs(data.w, 1, nv, True) if rounds else conv_step.packed_weights(case, data.w, nv))
    status = run_step(
        "conv_pool", [y, x, w, Guarded(data.bias), Guarded(data.slope) if slope else None], threads,
        n=case.n, **fields, pt=pool.before[0], pl=pool.before[1], pb=pool.after[0], pr=pool.after[1], ih=case.oh, iw=case.ow,
        oh=pool.out[0], ow=pool.out[1], **conv_step.place("x", case.ih, case.iw, pixel),
        **conv_step.place("y", *pool.out, case.oc + case.y_gap), c=case.oc, kind=kind, include_pad=include, p=p, fn=unary_number(fn),
        alpha=0.0, beta=0.0, ic=case.ic, block=block, first_nv=nv, first_band=int(case.padded), first_block=first_block,
        first_pair=int(conv_step.may_pair(case, case.padded)), first_halves=1,
        first_bf16=int(rounds), x_half=int("x" in halves), y_half=int("y" in halves),
        **{f"first_{name}": value for name, value in first.items()})
    assert status == 0
    np.testing.assert_array_equal(y.array[..., case.oc:], margin[..., case.oc:], err_msg="wrote between pixels")
    return to_float(y.array[..., :case.oc]) if "y" in halves else y.array[..., :case.oc].copy()


def reference(case: conv_step.Case, data: conv_step.Operands, pool: Window, kind: int = MAX, include: int = 0, p: int = 2) -> np.ndarray:
    return expected(pool, np.maximum(conv_step.reference(case, data.x, data.w) + data.bias, 0), kind, include, p)


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("case", FIRST, ids=str)
def test_conv_pool_equals_its_parts(isa, case, pool):
    data, pool = conv_step.operands(case), window(case, *pool)
    wanted = reference(case, data, pool)
    for block, threads in ((1, 1), (2, 3), (4, 2), (100, 1)):
        got = run(case, data, pool, block=block, threads=threads, first_block=1 + block % 3)
        assert_close(got, wanted, tolerance(case.k), f"block={block}")


@pytest.mark.parametrize("pool", POOLS[:5], ids=str)
@pytest.mark.parametrize("case", FIRST, ids=str)
def test_conv_pool_in_bfloat16(pairs, case, pool):
    """The same bits from floats that need no rounding and from bfloat16 in memory, and to it."""
    if case.ic * case.kw % 2 and not _native.pgemm_odd_runs():
        pytest.skip("no tiles for runs of an odd length")
    data, pool = conv_step.operands(case), window(case, *pool)
    data = replace(data, x=to_float(rounded(data.x)), w=to_float(rounded(data.w)))
    wanted = reference(case, data, pool)
    for block, threads in ((1, 1), (2, 3), (100, 1)):
        options = {"block": block, "threads": threads, "first_block": 1 + block % 3, "rounds": True, "nv": min(2, case.oc)}
        got = run(case, data, pool, **options)
        assert_close(got, wanted, tolerance(case.k), f"block={block}")
        np.testing.assert_array_equal(run(case, data, pool, halves="x", **options), got)
        np.testing.assert_array_equal(run(case, data, pool, halves="xy", **options), to_float(rounded(got)))


@pytest.mark.parametrize("kind, include, p", [(AVERAGE, 0, 2), (AVERAGE, 1, 2), (LP, 0, 2), (LP, 0, 3)])
@pytest.mark.parametrize("pool", POOLS[:5], ids=str)
def test_every_kind_of_pooling(isa, pool, kind, include, p):
    data, pool = conv_step.operands(STEM), window(STEM, *pool)
    for block in (1, 3):
        assert_close(run(STEM, data, pool, kind, include, p, block=block), reference(STEM, data, pool, kind, include, p), 1e-5)


@pytest.mark.parametrize("fn, slope", [("Swish", False), ("None", True)])
def test_any_activation_and_the_bits_of_two_steps_whatever_the_threads(isa, fn, slope):
    data, pool = conv_step.operands(FIRST[1]), window(FIRST[1], *POOLS[0])
    rows = conv_step.run_conv(FIRST[1], data, nv=2, bias=True, slope=slope, fn=fn)
    y = expected(pool, rows, MAX, 0, 2).astype(np.float32)
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(run(FIRST[1], data, pool, threads=threads, fn=fn, slope=slope), y)


# ---- the planner ----


def network(pool: str = "MaxPool", conv: dict | None = None, shape=(40, 3, 7, 7), after: str = "Relu", outputs=("y",), **attrs):
    """Conv, an activation, pooling; `after` PRelu has a slope a channel."""
    weights = {"w": floats(*shape), "b": floats(shape[0]), "s": floats(shape[0], 1, 1)}
    nodes = [node("Conv", ["x", "w", "b"], ["c"], **{"strides": [2, 2], "pads": [3] * 4, **(conv or {})}),
             node(after, ["c", "s"] if after == "PRelu" else ["c"], ["a"]),
             node(pool, ["a"], ["y"], **{"kernel_shape": [3, 3], "strides": [2, 2], **attrs})]
    used = {name for n in nodes for name in n.input}
    return model(nodes, {"x": ["n", shape[1] * (conv or {}).get("group", 1), "h", "w"]}, list(outputs),
                 {name: value for name, value in weights.items() if name in used})


def kinds(loaded) -> list[str]:
    return [step.kind for step in next(iter(loaded._default.plans.values())).direct.steps]


def image(proto, n: int = 2, h: int = 37, w: int = 45) -> np.ndarray:
    return np.random.default_rng(4).standard_normal((n, proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value, h, w), np.float32)


@pytest.mark.parametrize("proto", [
    network(pads=[1] * 4), network(ceil_mode=1), network("MaxPool", strides=[1, 1]), network(kernel_shape=[2, 2]), network(after="PRelu"),
    network("AveragePool", pads=[1] * 4, count_include_pad=1), network("LpPool", p=3), network("MaxPool", after="Sigmoid"),
    network(shape=(24, 3, 3, 3)), network(shape=(24, 3, 3, 3), conv={"pads": [0] * 4}),
    network(shape=(16, 20, 1, 1), conv={"pads": [0] * 4}),
    network(conv={"auto_pad": "SAME_UPPER", "pads": None}, auto_pad="SAME_UPPER"),
], ids=lambda proto: " ".join(str(n.op_type) for n in proto.graph.node))
def test_planner_joins_large_maps_to_their_pooling_with_the_same_bits(monkeypatch, plan_for, proto):
    plan_for("sapphire_rapids")
    x = image(proto)
    monkeypatch.setattr(conv_pool, "SHARE_OF_L2", 1e9)
    apart = fastcnn.load(proto, threads=1)
    wanted = apart.run(None, {"x": x})[0]
    assert "conv_pool" not in kinds(apart)
    np.testing.assert_allclose(wanted, onnxruntime_run(proto, {"x": x})[0], rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(conv_pool, "SHARE_OF_L2", 0)
    for threads in (1, 2):
        together = fastcnn.load(proto, threads=threads)
        np.testing.assert_array_equal(together.run(None, {"x": x})[0], wanted)
        assert "conv_pool" in kinds(together) and "pool" not in kinds(together)
    assert together.choices()[0].source == "fused" and " + " in together.choices()[0].node


@pytest.mark.parametrize("proto", [
    network(shape=(64, 64, 3, 3), conv={"strides": [1, 1], "pads": [1] * 4}),                  # Winograd's
    network(outputs=("y", "a")), network(shape=(40, 1, 7, 7), conv={"group": 4}), network(conv={"dilations": [2, 2]}),
    network(shape=(24, 3000, 1, 1), conv={"pads": [0] * 4}),                                   # weights that no strip should read again
], ids=["winograd", "two readers", "groups", "dilated", "weights"])
def test_planner_leaves_others_apart(monkeypatch, plan_for, proto):
    monkeypatch.setattr(conv_pool, "SHARE_OF_L2", 0)
    plan_for("sapphire_rapids")
    loaded, x = fastcnn.load(proto, threads=1), image(proto, 1, 40, 41)
    got = loaded.run(None, {"x": x})
    assert "conv_pool" not in kinds(loaded)
    for y, wanted in zip(got, onnxruntime_run(proto, {"x": x})):
        np.testing.assert_allclose(y, wanted, rtol=1e-3, atol=1e-3)


def test_indices_of_the_maximum_keep_their_map(monkeypatch):
    monkeypatch.setattr(conv_pool, "SHARE_OF_L2", 0)
    proto = model([node("Conv", ["x", "w"], ["c"]), node("MaxPool", ["c"], ["y", "i"], kernel_shape=[2, 2])], {"x": [1, 3, 9, 9]},
                  ["y", "i"], {"w": floats(4, 3, 2, 2)})
    loaded, x = fastcnn.load(proto), image(proto, 1, 9, 9)
    for got, wanted in zip(loaded.run(None, {"x": x}), onnxruntime_run(proto, {"x": x})):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert "conv_pool" not in kinds(loaded)


@pytest.mark.parametrize("l2_bytes", [2 ** 17, 2 ** 18, 2 ** 20, 2 ** 21])
def test_strips_fit_their_share_of_the_cache(plan_for, l2_bytes):
    """One row is the least, fitting or not."""
    plan_for(l2_bytes=l2_bytes)
    row_bytes = l2_bytes // 72
    for stride in (1, 2):
        rows = strip_rows(row_bytes, 3, stride, 10 ** 6)
        assert rows > 1 and row_bytes * ((rows - 1) * stride + 3) <= l2_bytes // 8 < row_bytes * (rows * stride + 3)
    assert strip_rows(l2_bytes, 3, 2, 10) == 1 and strip_rows(row_bytes, 3, 2, 3) == 3
