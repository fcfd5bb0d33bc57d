"""Weights asked for ahead of time: which step asks for what, and that it changes no number."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from conv_step import place
from onnx import TensorProto, helper, numpy_helper
from step_helper import Guarded, unary_number

import fastcnn
from fastcnn import _native
from fastcnn.convolve.bf16_gemm import pack_pairs
from fastcnn.plan.prefetch import SHARE_OF_L2, prefetches

rng = np.random.default_rng(0)
LARGE = 10 ** 9


def conv(weights, pixels: int):
    return "conv", (None, None, weights), 1, {"n": 1, "oh": 1, "ow": pixels}


def bytes_of(count: int) -> np.ndarray:
    return np.zeros(count, np.uint8)


def test_the_steps_before_ask_for_what_a_row_is_multiplied_by(plan_for):
    plan_for("sapphire_rapids")
    w = bytes_of(50_000)
    steps = [conv(bytes_of(9), 49), ("pool", (None, None), 1, {}), conv(w, 1)]
    assert prefetches(steps, [LARGE, LARGE, LARGE], 1) == [[(w, 0, 50_000)], [], []]


def test_the_nearest_asks_for_the_end_and_each_only_for_what_its_time_brings(plan_for):
    w, machine = bytes_of(50_000), plan_for("zen4")
    macs_a_cycle = machine.core(_native.vector_length()).fmas * _native.vector_length()
    macs = int(20_000 / machine.prefetch * macs_a_cycle) + 1
    got = prefetches([conv(None, 49), conv(None, 49), conv(w, 1)], [LARGE, macs, 1], 1)
    assert [[(a is w, b, e) for a, b, e in ranges] for ranges in got] == [[(True, 0, 30_000)], [(True, 30_000, 50_000)], []]


@pytest.mark.parametrize("kind,index", [("depthwise", 2), ("conv_depthwise", 4), ("scale_weights", 1)])
def test_taps_and_weights_to_be_scaled_are_asked_for(kind, index):
    operands = [None] * 5
    operands[index] = bytes_of(8000)
    assert prefetches([conv(None, 49), (kind, tuple(operands), 1, {})], [LARGE, 1], 1)[0] == [(operands[index], 0, 8000)]


def test_convolutions_in_bfloat16_ask_and_are_asked_for_but_do_not_ask_with_amx(monkeypatch, plan_for):
    plan_for("zen4")
    w = bytes_of(50_000)
    steps = [("conv_bf16", (None, None, part), 1, {"n": 1, "oh": 1, "ow": 49}) for part in (bytes_of(9), w)]
    monkeypatch.setattr(_native, "current_isa", lambda: "avx512_vnni")
    assert prefetches(steps, [LARGE, LARGE], 1) == [[(w, 0, 50_000)], []]
    row = ("conv_bf16", (None, None, bytes_of(9)), 1, {"n": 1, "oh": 1, "ow": 1})
    assert prefetches([row, steps[1]], [LARGE, LARGE], 1) == [[], []]
    monkeypatch.setattr(_native, "current_isa", lambda: "avx512_amx")
    assert prefetches(steps, [LARGE, LARGE], 1) == [[], []]


@pytest.mark.parametrize("before,after", [(conv(None, 49), conv(bytes_of(50_000), 49)), (conv(None, 1), conv(bytes_of(50_000), 1)),
                                          (conv(None, 49), conv(bytes_of(100), 1)), (conv(None, 49), conv((1, 0), 1)),
                                          (("pool", (), 1, {}), conv(bytes_of(50_000), 1))])
def test_nothing_is_asked_for_where_it_would_not_help(before, after):
    assert prefetches([before, after], [LARGE, LARGE], 1) == [[], []]


@pytest.mark.parametrize("row", ["haswell", "zen4", "sapphire_rapids"])
def test_what_is_asked_for_leaves_room_in_the_cache(row, plan_for):
    most = int(SHARE_OF_L2 * plan_for(row).l2_bytes)
    steps = [conv(None, 49), conv(bytes_of(most - 10_000), 1), conv(bytes_of(most), 1)]
    asked = prefetches(steps, [LARGE] * 3, 1)
    assert [end - begin for _, begin, end in asked[0]] == [most - 10_000, 10_000]
    assert len(prefetches([conv(None, 49)] + [conv(bytes_of(5000), 1)] * 20, [LARGE] * 21, 1)[0]) <= _native.MAX_PREFETCH


@pytest.mark.parametrize("threads,pixels,oc,band", list(itertools.product([1, 2, 3], [1, 5, 40], [1, 16, 100], [0, 1])))
def test_a_convolution_that_asks_gives_the_same_bits(isa, threads, pixels, oc, band):
    x, w = rng.standard_normal((pixels, 24)).astype(np.float32), rng.standard_normal((oc, 24)).astype(np.float32)
    packed, later = Guarded(_native.pack_gemm_b(w, False, 2)), [rng.standard_normal(n).astype(np.float32) for n in (1, 3000, 70)]
    fields = dict(dict.fromkeys(_native.step_fields()["conv"], 0), n=1, kh=1, kw=1, sh=1, sw=1, dh=1, dw=1, ih=1, iw=pixels, oh=1,
                  ow=pixels, groups=1, ic=24, oc=oc, nv=2, block=3, band=band, fn=unary_number("None"), **place("x", 1, pixels, 24),
                  **place("y", 1, pixels, oc))
    results = []
    for ranges in ([], [(a, 0, a.nbytes) for a in later], [(later[1], 100, 100)]):
        y = Guarded(np.full((pixels, oc), np.nan, np.float32), output=True)
        step = ("conv", (y.data, Guarded(x).data, packed.data, None, None, None), threads, fields, ranges)
        assert _native.Program([step], 0, threads, 0).run(_native.Workspace(), []) == 0
        y.check()
        results.append(y.array)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("threads,pixels,groups,oc,split", [(1, 5, 1, 20, 0), (2, 40, 1, 100, 1), (1, 40, 3, 40, 0), (3, 17, 2, 16, 0)])
def test_a_convolution_in_bfloat16_that_asks_gives_the_same_bits(pairs, threads, pixels, groups, oc, split):
    x, w = rng.standard_normal((pixels, groups * 24)).astype(np.float32), rng.standard_normal((groups * oc, 24, 1, 1)).astype(np.float32)
    packed, later = Guarded(pack_pairs(w, groups, 1, True)), [rng.standard_normal(n).astype(np.float32) for n in (1, 3000, 70)]
    fields = dict(dict.fromkeys(_native.step_fields()["conv_bf16"], 0), n=1, kh=1, kw=1, sh=1, sw=1, dh=1, dw=1, ih=1, iw=pixels, oh=1,
                  ow=pixels, groups=groups, ic=24, oc=oc, nv=1, block=30, split_columns=split, fn=unary_number("None"),
                  **place("x", 1, pixels, groups * 24), **place("y", 1, pixels, groups * oc))
    results = []
    for ranges in ([], [(a, 0, a.nbytes) for a in later]):
        y = Guarded(np.full((pixels, groups * oc), np.nan, np.float32), output=True)
        step = ("conv_bf16", (y.data, Guarded(x).data, packed.data, None, None, None, None), threads, fields, ranges)
        assert _native.Program([step], 0, threads, 0).run(_native.Workspace(), []) == 0
        y.check()
        results.append(y.array)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("ranges", [[(np.zeros(4, np.uint8), 0, 5)], [(np.zeros(4, np.uint8), 3, 2)],
                                    [(np.zeros(4, np.uint8), 0, 1)] * (_native.MAX_PREFETCH + 1)])
def test_ranges_outside_of_their_array_are_refused(ranges):
    fields = dict.fromkeys(_native.step_fields()["scale_weights"], 1)
    with pytest.raises(ValueError, match=r"bytes 0 to 5|bytes 3 to 2|ranges to ask for"):
        _native.Program([("scale_weights", (np.zeros(64, np.float32),) * 3, 1, fields, ranges)], 0, 1, 0)


def test_a_network_with_a_fully_connected_layer_gives_the_same_bits_without(plan_for):
    shapes = {"w1": (64, 8, 1, 1), "w2": (64, 64, 1, 1), "w3": (300, 64, 1, 1)}
    tensors = [numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name) for name, shape in shapes.items()]
    nodes = [helper.make_node("Conv", ["x", "w1"], ["a"]), helper.make_node("Conv", ["a", "w2"], ["b"]),
             helper.make_node("GlobalAveragePool", ["b"], ["g"]), helper.make_node("Conv", ["g", "w3"], ["y"])]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 30, 30])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = rng.standard_normal((1, 8, 30, 30)).astype(np.float32)
    asked = fastcnn.load(proto, threads=2)(x)
    plan_for(prefetch=1e-9)
    np.testing.assert_array_equal(fastcnn.load(proto, threads=1)(x), asked)
