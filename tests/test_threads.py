"""Threads: the same bits for any number of them, as many as asked for, and asleep when there is nothing to do."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import CPUS
from graph_helper import model
from onnx import NodeProto, helper

import fastcnn
from fastcnn import _native

RNG = np.random.default_rng(0)
Net = tuple[list[NodeProto], dict[str, list[int]], dict[str, np.ndarray]]
needs_openmp = pytest.mark.skipif(not _native.HAS_OPENMP, reason="a build without OpenMP")


def weights(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def conv(x: list[int], w: tuple[int, ...], then: str = "Relu", op: str = "Conv", **attributes: object) -> Callable[[], Net]:
    """One convolution with bias and an activation."""
    def build() -> Net:
        outputs = w[1] * int(attributes.get("group", 1)) if op == "ConvTranspose" else w[0]
        nodes = [helper.make_node(op, ["x", "w", "b"], ["c"], **attributes), helper.make_node(then, ["c"], ["y"])]
        return nodes, {"x": x}, {"w": weights(*w), "b": weights(outputs)}
    return build


def linear(rows: int, inputs: int, outputs: int) -> Callable[[], Net]:
    """A fully connected layer and Softmax."""
    return lambda: ([helper.make_node("Gemm", ["x", "w", "b"], ["g"], transB=1), helper.make_node("Softmax", ["g"], ["y"])],
                    {"x": [rows, inputs]}, {"w": weights(outputs, inputs), "b": weights(outputs)})


def one_node(op: str, x: list[int], **attributes: object) -> Callable[[], Net]:
    return lambda: ([helper.make_node(op, ["x"], ["y"], **attributes)], {"x": x}, {})


def normalised(op: str, x: list[int], **attributes: object) -> Callable[[], Net]:
    return lambda: ([helper.make_node(op, ["x", "s", "b"], ["y"], **attributes)], {"x": x}, {"s": weights(x[1]), "b": weights(x[1])})


def block() -> Net:
    """1x1, depthwise 3x3, 1x1 with a residual, twice; pooled, with a gate on the channels."""
    nodes, constants = [], {}
    names = iter(range(100))

    def step(op: str, inputs: list[str], w: tuple[int, ...] | None = None, **attributes: object) -> str:
        k = next(names)
        if w is not None:
            constants.update({f"w{k}": weights(*w), f"b{k}": weights(w[0])})
            inputs = [*inputs, f"w{k}", f"b{k}"]
        nodes.append(helper.make_node(op, inputs, [f"t{k}"], **attributes))
        return f"t{k}"

    x = "x"
    for _ in range(2):
        a = step("Clip", [step("Conv", [x], (96, 16, 1, 1)), "zero", "six"])
        a = step("Clip", [step("Conv", [a], (96, 1, 3, 3), group=96, pads=[1] * 4), "zero", "six"])
        gate = step("Sigmoid", [step("Conv", [step("GlobalAveragePool", [a])], (96, 96, 1, 1))])
        x = step("Add", [step("Conv", [step("Mul", [a, gate])], (16, 96, 1, 1)), x])
    nodes[-1].output[0] = "y"
    return nodes, {"x": [1, 16, 29, 31]}, {**constants, "zero": np.float32(0), "six": np.float32(6)}


NETS: dict[str, Callable[[], Net]] = {
    "pointwise":         conv([1, 48, 37, 29], (61, 48, 1, 1)),
    "dense 5x5 stride 2": conv([1, 24, 41, 43], (40, 24, 5, 5), strides=[2, 2], pads=[2] * 4),
    "stem 7x7":          conv([1, 3, 67, 61], (32, 3, 7, 7), strides=[2, 2], pads=[3] * 4),
    "winograd":          conv([1, 32, 31, 33], (48, 32, 3, 3), pads=[1] * 4),
    "winograd 7x7":      conv([1, 128, 7, 7], (128, 128, 3, 3), pads=[1] * 4),
    "winograd stride 2": conv([1, 64, 57, 59], (64, 64, 3, 3), strides=[2, 2], pads=[1] * 4),
    "winograd stride 2, late": conv([1, 128, 28, 28], (128, 128, 3, 3), strides=[2, 2], pads=[1] * 4),
    "winograd batch":    conv([3, 32, 14, 14], (32, 32, 3, 3), pads=[1] * 4),
    "winograd 5x5":      conv([1, 32, 31, 33], (48, 32, 5, 5), pads=[2] * 4),
    "winograd 1x7":      conv([1, 64, 17, 19], (96, 64, 1, 7), pads=[0, 3, 0, 3]),
    "winograd 3x1":      conv([1, 64, 31, 33], (64, 64, 3, 1), pads=[1, 0, 1, 0]),
    "dilated":           conv([1, 32, 29, 29], (32, 32, 3, 3), dilations=[2, 2], pads=[2] * 4),
    "depthwise":         conv([1, 250, 31, 33], (250, 1, 3, 3), group=250, pads=[1] * 4),
    "depthwise stride 2": conv([2, 250, 31, 33], (250, 1, 5, 5), group=250, pads=[2] * 4, strides=[2, 2]),
    "grouped":           conv([1, 64, 29, 31], (64, 8, 3, 3), group=8, pads=[1] * 4),
    "transposed":        conv([1, 48, 25, 27], (48, 24, 2, 2), op="ConvTranspose", strides=[2, 2]),
    "transposed 4x4":    conv([1, 32, 15, 17], (32, 24, 4, 4), op="ConvTranspose", strides=[2, 2], pads=[1] * 4),
    "transposed to one": conv([1, 64, 900], (64, 1, 64), op="ConvTranspose", then="Tanh", strides=[16], pads=[24, 24]),
    "3-D":               conv([1, 16, 6, 17, 19], (24, 16, 3, 3, 3), pads=[1] * 6),
    "3-D depthwise":     conv([1, 100, 6, 17, 19], (100, 1, 3, 3, 3), group=100, pads=[1] * 6),
    "fully connected":   linear(1, 2050, 1001),
    "matrix product":    linear(61, 130, 515),
    "max pool":          one_node("MaxPool", [4, 96, 61, 53], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
    "average pool":      one_node("AveragePool", [4, 96, 61, 53], kernel_shape=[3, 3], pads=[1] * 4),
    "mean":              one_node("GlobalAveragePool", [2, 515, 49, 51]),
    "softmax":           one_node("Softmax", [257, 8193], axis=1),
    "instance norm":     normalised("InstanceNormalization", [1, 67, 180, 181]),
    "transpose":         one_node("Transpose", [13, 67, 51, 53], perm=[3, 1, 0, 2]),
    "block":             block,
}


def build(name: str) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    nodes, inputs, constants = NETS[name]()
    feeds = {k: np.random.default_rng(1).standard_normal(shape).astype(np.float32) for k, shape in inputs.items()}
    return model(nodes, inputs, ["y"], constants), feeds


@pytest.mark.parametrize("name", NETS)
def test_threads_give_the_same_bits(name):
    proto, feeds = build(name)
    one, = fastcnn.load(proto, threads=1).run(None, feeds)
    assert np.isfinite(one).all() and one.any()
    for threads in (2, 3, 4, 7):
        loaded = fastcnn.load(proto, threads=threads)
        for _ in range(2 if threads == 7 else 1):
            np.testing.assert_array_equal(loaded.run(None, feeds)[0].view(np.int32), one.view(np.int32), err_msg=f"{threads} threads")
        if _native.HAS_OPENMP:
            plan, = loaded._default.plans.values()
            assert [stage.program.threads for stage in plan.stages] == [threads]


def in_new_process(program: str, proto: onnx.ModelProto, folder: Path) -> dict[str, float]:
    """What a program printed as JSON; sys.argv[1] is the model's file."""
    onnx.save(proto, str(folder / "model.onnx"))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(folder / "model.onnx")], capture_output=True, text=True,
                          env={**os.environ, "OMP_DYNAMIC": "false"}, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="states of threads are read from /proc")
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_sleep_after_the_last_run(threads, tmp_path):
    """The system says of each thread whether it sleeps: however late a busy machine lets them come to that, those that spin on never do."""
    program = f"""
        import json, os, sys, time
        import numpy as np
        import fastcnn
        fastcnn._native.set_cpus(7)
        before = set(os.listdir("/proc/self/task"))
        model = fastcnn.load(sys.argv[1], threads={threads})
        x = np.zeros((1, 16, 29, 31), np.float32)
        for _ in range(50):
            model(x)
        workers = sorted(set(os.listdir("/proc/self/task")) - before)
        state = lambda task: open(f"/proc/self/task/{{task}}/stat").read().rpartition(")")[2].split()[0]
        for _ in range(1000):
            awake = [task for task in workers if state(task) != "S"]
            if not awake:
                break
            time.sleep(0.02)
        print(json.dumps({{"workers": len(workers), "awake": len(awake)}}))"""
    found = in_new_process(program, build("block")[0], tmp_path)
    assert found == {"workers": threads - 1 if _native.HAS_OPENMP else 0, "awake": 0}


@pytest.mark.parametrize("shape", [(64, 64, 3, 3), (512, 512, 1, 1)])
def test_threads_that_have_no_cpu_are_not_planned_for(shape):
    """Blocks, tiles and how columns are shared are those of as many threads as there are CPUs; more CPUs later run the same plan."""
    w = weights(*shape)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[shape[2] // 2] * 4)]
    proto = model(nodes, {"x": [1, shape[1], 28, 28]}, ["y"], {"w": w})
    x = weights(1, shape[1], 28, 28)

    def planned(threads: int) -> list[tuple[object, ...]]:
        return [(row.algorithm, row.tile, row.blocking) for row in fastcnn.load(proto, threads=threads).choices()]
    apart = planned(1), planned(7)
    _native.set_cpus(1)
    try:
        assert planned(16) == apart[0]
        loaded = fastcnn.load(proto, threads=7)
        alone = loaded(x)
    finally:
        _native.set_cpus(CPUS)
    assert planned(7) == apart[1]
    np.testing.assert_array_equal(loaded(x), alone)
    np.testing.assert_array_equal(fastcnn.load(proto, threads=7)(x), alone)
