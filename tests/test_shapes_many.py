"""Shapes that change on every call: memory of the largest only, plans dropped in order of use, trim(), threads with shapes of their own."""
from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node, onnxruntime_run
from onnx import ModelProto

import fastcnn
from fastcnn import _native
from fastcnn.convolve.kept_width import KEEP_WIDTH, kept_nv
from fastcnn.convolve.tile import MAX_NV, best_nv, tile_cycles
from fastcnn.machine.numbers import Machine
from fastcnn.plan.executor import MAX_PLANS


def network() -> ModelProto:
    """ESPCN's form: three convolutions and a pixel shuffle, any (N, H, W)."""
    nodes = [node("Conv", ["x", "w1"], ["a"], pads=[2, 2, 2, 2]), node("Tanh", ["a"], ["b"]),
             node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["d"]),
             node("Conv", ["d", "w3"], ["e"], pads=[1, 1, 1, 1]), node("DepthToSpace", ["e"], ["y"], blocksize=2)]
    constants = {"w1": floats(32, 1, 5, 5) / 5, "w2": floats(16, 32, 3, 3) / 17, "w3": floats(4, 16, 3, 3) / 12}
    return model(nodes, {"x": ["N", 1, "H", "W"]}, ["y"], constants)


PEAKS = """
import random, sys, numpy as np, fastcnn
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
model = fastcnn.load(sys.argv[1], threads=1)
largest = np.ones((4, 1, 200, 200), np.float32)
model.run(None, {"x": largest})
alone = peak()
random.seed(0)
for _ in range(1000):
    n, h, w = random.randint(1, 4), random.randint(1, 80), random.randint(1, 80)
    model.run(None, {"x": largest[:n, :, :h, :w]})
print(alone, peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's count of a process's memory")
def test_a_thousand_shapes_take_the_memory_of_the_largest(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "m.onnx")
    assert min(growth_of_peak(tmp_path / "m.onnx") for _ in range(3)) <= 1.05


def growth_of_peak(path: Path) -> float:
    """A process's peak after many shapes over that after the largest. The system adds to it now and then, so the least of a few counts."""
    found = subprocess.run([sys.executable, "-c", PEAKS, str(path)], capture_output=True, text=True, check=True)
    alone, after = (int(number) for number in found.stdout.split())
    return after / alone


def test_any_shape_gives_what_onnxruntime_gives() -> None:
    proto, rng = network(), np.random.default_rng(0)
    loaded = fastcnn.load(proto)
    for _ in range(20):
        x = rng.standard_normal((rng.integers(1, 4), 1, rng.integers(1, 40), rng.integers(1, 40))).astype(np.float32)
        np.testing.assert_allclose(loaded(x), onnxruntime_run(proto, {"x": x})[0], rtol=1e-4, atol=1e-5)


def test_plans_are_bounded_and_the_least_recently_used_goes_first() -> None:
    loaded = fastcnn.load(network())
    engine = loaded._default
    assert engine is not None
    loaded(floats(1, 1, 1, 1))
    for width in range(2, 2 * MAX_PLANS):
        loaded(floats(1, 1, 1, width))
        loaded(floats(1, 1, 1, 1))
    assert len(engine.plans) == MAX_PLANS
    assert ((1, 1, 1, 1),) in engine.plans
    assert ((1, 1, 1, 2),) not in engine.plans


def test_trim_gives_memory_back_and_the_model_stays_usable() -> None:
    loaded, x = fastcnn.load(network()), floats(2, 1, 30, 30)
    engine, expected = loaded._default, loaded(x)
    assert engine is not None and engine.plans and engine.workspaces.nbytes() > x.nbytes
    packed = dict(loaded._packs)
    loaded.trim()
    assert not engine.plans and not engine.workspaces.free
    np.testing.assert_array_equal(loaded(x), expected)
    assert all(loaded._packs[key] is packed[key] for key in packed)


def test_all_plans_of_a_model_share_one_workspace() -> None:
    loaded = fastcnn.load(network())
    loaded(floats(2, 1, 40, 40))
    engine = loaded._default
    assert engine is not None
    largest = engine.workspaces.nbytes()
    for size in range(1, 30):
        loaded(floats(1, 1, size, size))
    assert [w.nbytes for w in engine.workspaces.free] == [largest]


def mobile_network() -> ModelProto:
    """MobileNetV2's form: 1x1, depthwise and 1x1 convolutions, a mean and a Gemm, any (N, H, W)."""
    nodes = [node("Conv", ["x", "w1"], ["a"]), node("Relu", ["a"], ["b"]),
             node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2], group=144), node("Relu", ["c"], ["d"]),
             node("Conv", ["d", "w3"], ["e"]), node("Conv", ["e", "w4"], ["f"]), node("Relu", ["f"], ["g"]),
             node("GlobalAveragePool", ["g"], ["h"]), node("Flatten", ["h"], ["i"]), node("Gemm", ["i", "w5"], ["y"])]
    constants = {"w1": floats(144, 24, 1, 1) / 5, "w2": floats(144, 1, 3, 3) / 3, "w3": floats(32, 144, 1, 1) / 12,
                 "w4": floats(320, 32, 1, 1) / 6, "w5": floats(320, 1000) / 18}
    return model(nodes, {"x": ["N", 24, "H", "W"]}, ["y"], constants)


def u_network() -> ModelProto:
    """U-Net's form: down by a pooling, up by a transposed convolution, joined, any (N, 2H, 2W)."""
    nodes = [node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["b"]),
             node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]), node("Conv", ["c", "w2"], ["d"], pads=[1, 1, 1, 1]),
             node("ConvTranspose", ["d", "w3"], ["e"], strides=[2, 2]), node("Concat", ["b", "e"], ["f"], axis=1),
             node("Conv", ["f", "w4"], ["y"], pads=[1, 1, 1, 1])]
    constants = {"w1": floats(64, 3, 3, 3) / 5, "w2": floats(128, 64, 3, 3) / 24, "w3": floats(128, 64, 2, 2) / 11,
                 "w4": floats(8, 128, 3, 3) / 34}
    return model(nodes, {"x": ["N", 3, "H", "W"]}, ["y"], constants)


def packed_bytes(loaded: fastcnn.Model, algorithm: str) -> int:
    return sum(array.nbytes for key, array in loaded._packs.items() if isinstance(key, tuple) and algorithm in key)


# AVX2's tiles are short, two rows at four vectors: one row and four rows differ by more than KEEP_WIDTH, so two widths are packed.
@pytest.mark.parametrize(("network", "channels", "limit", "avx2"), [(mobile_network, 24, 1.05, 2.05), (u_network, 3, 1.4, 2.3)])
def test_layers_keep_the_tile_width_that_they_are_packed_for(network: Callable[[], ModelProto], channels: int, limit: float,
                                                             avx2: float, plan_for: Callable[..., Machine]) -> None:
    plan_for("sapphire_rapids")
    proto, rng = network(), np.random.default_rng(0)
    loaded, weights = fastcnn.load(proto, threads=1), sum(4 * int(np.prod(w.dims)) for w in proto.graph.initializer)
    loaded(np.ones((4, channels, 64, 64), np.float32))
    for _ in range(60):
        n, h, w = int(rng.integers(1, 5)), 2 * int(rng.integers(1, 33)), 2 * int(rng.integers(1, 33))
        loaded(np.ones((n, channels, h, w), np.float32))
    assert packed_bytes(loaded, "conv") <= (avx2 if _native.current_isa() == "avx2" else limit) * weights


@pytest.mark.parametrize(("network", "channels"), [(mobile_network, 24), (u_network, 3)])
def test_what_was_run_before_does_not_change_the_bits(network: Callable[[], ModelProto], channels: int) -> None:
    loaded = fastcnn.load(network(), threads=1)
    for n, h, w in [(4, 64, 64), (1, 8, 6), (2, 14, 14), (1, 2, 2), (3, 30, 10), (1, 56, 48)]:
        x = floats(n, channels, h, w, seed=h)
        np.testing.assert_array_equal(loaded(x), fastcnn.load(network(), threads=1)(x))


@pytest.mark.parametrize(("oc", "ow", "k"), [(1000, 49, 1280), (96, 14, 576), (64, 3, 64), (17, 100, 9)])
def test_a_kept_width_costs_little_by_the_model(oc: int, ow: int, k: int) -> None:
    best = best_nv(oc, ow, k)
    usable = [nv for nv in range(1, MAX_NV + 1) if _native.gemm_max_mr(nv) and nv <= max(1, -(-oc // _native.vector_length()))]
    assert kept_nv(oc, ow, k, best, []) == kept_nv(oc, ow, k, best, usable) == best
    for nv in usable:
        kept = kept_nv(oc, ow, k, best, [nv])
        assert kept == (nv if tile_cycles(oc, ow, k, nv) <= KEEP_WIDTH * tile_cycles(oc, ow, k, best) else best)
        assert kept_nv(oc, ow, k, best, [nv], float("inf")) == nv


def test_threads_with_shapes_of_their_own_get_their_own_answers() -> None:
    loaded = fastcnn.load(network(), threads=1)
    inputs = [floats(1 + k % 3, 1, 3 + k, 40 - k, seed=k) for k in range(24)]
    expected = [fastcnn.load(network(), threads=1)(x) for x in inputs]
    wrong: list[int] = []

    def work(first: int) -> None:
        for k in range(3 * len(inputs)):
            k = (first + 5 * k) % len(inputs)
            if not np.array_equal(loaded(inputs[k]), expected[k]):
                wrong.append(k)
            if k == first:
                loaded.trim()

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
