"""BatchNormalization in training against its formula in float64 and onnxruntime: types, layouts, extents, opsets, threads."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import model, node, onnxruntime_run
from single_node import check_native, feeds_of, single_node
from step_helper import Guarded, assert_close, run_step

import fastcnn

SHAPES = [(4, 3), (300, 17), (1, 1, 2), (2, 5, 1, 1), (1, 3, 7, 9), (2, 16, 5, 5), (3, 33, 8, 8), (2, 4, 3, 2, 5), (2, 2, 70, 70),
          (5, 1, 31), (2, 3, 1, 2, 1, 2, 1, 2)]


def inputs(shape: tuple[int, ...], dtype: str = "float32", offset: float = 3.0) -> dict[str, np.ndarray]:
    rng, c = np.random.default_rng(sum(shape)), shape[1]
    x = rng.standard_normal(shape) * (1 + np.arange(c) % 5).reshape(-1, *[1] * (len(shape) - 2)) + offset
    return {"x": x.astype(dtype), **{name: (rng.random(c) + 0.5).astype(dtype) for name in ("scale", "bias", "mean", "var")}}


def wanted(given: dict[str, np.ndarray], epsilon: float = 1e-5, momentum: float = 0.9) -> list[np.ndarray]:
    x, scale, bias, mean, var = (v.astype(np.float64) for v in given.values())
    axes, shape = (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))
    own, spread = x.mean(axes), x.var(axes)
    y = (x - own.reshape(shape)) / np.sqrt(spread.reshape(shape) + epsilon) * scale.reshape(shape) + bias.reshape(shape)
    return [y, mean * momentum + own * (1 - momentum), var * momentum + spread * (1 - momentum), own, spread]


def run(proto, feeds, threads: int = 1, fallback: bool = False) -> list[np.ndarray]:
    loaded = fastcnn.load(proto, threads=threads)
    results = loaded.run(None, feeds)
    assert bool(loaded.fallback_nodes) == fallback
    return results


@pytest.mark.parametrize("dtype, rtol", [("float32", 2e-6), ("float64", 1e-7), ("float16", 2e-3)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_training(shape, dtype, rtol):
    given = inputs(shape, dtype)
    proto = single_node("BatchNormalization", given, ["scale", "bias"], opset=15, outputs=3, training_mode=1, epsilon=1e-3, momentum=0.75)
    results = run(proto, feeds_of(proto, given), threads=1 + len(shape) % 3)
    for got, want in zip(results, wanted(given, 1e-3, 0.75)):
        assert got.dtype == given["x"].dtype
        assert_close(got, want, rtol)
    if np.prod(shape[2:]) * shape[0] > 1:
        check_native("BatchNormalization", given, rtol=10 * rtol, opset=15, outputs=3, training_mode=1, threads=1)


@pytest.mark.parametrize("opset", [7, 8, 9, 13])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_statistics_among_the_outputs_before_opset_14(opset, dtype):
    given = inputs((3, 6, 5, 4), dtype)
    proto = single_node("BatchNormalization", given, opset=opset, outputs=5)
    for got, want in zip(run(proto, given), wanted(given), strict=True):
        assert_close(got, want, 2e-6)
    for got, peer in zip(run(proto, given)[:4], onnxruntime_run(proto, given)):     # the fifth of onnxruntime's is 1 / sqrt(var + epsilon)
        assert_close(got, peer, 2e-6)


def test_single_statistics():
    """Outputs left out, and those alone that are asked for."""
    given = inputs((2, 3, 4, 4))
    for names in (["y", "", ""], ["y", "m", ""], ["y", "", "v"], ["", "m", "v"], ["y"]):
        proto = single_node("BatchNormalization", given, opset=15, outputs=3, training_mode=1)
        full = wanted(given)
        proto.graph.node[0].output[:] = names
        kept = [k for k, name in enumerate(names) if name]
        outputs = [proto.graph.output[k] for k in kept]
        for info, k in zip(outputs, kept):
            info.name = names[k]
        del proto.graph.output[:]
        proto.graph.output.extend(outputs)
        try:
            results = run(proto, given)
        except fastcnn.ModelError as error:
            assert not names[0], error
            continue
        for got, k in zip(results, kept, strict=True):
            assert_close(got, full[k], 2e-6)


@pytest.mark.parametrize("factor, offset", [(1e30, 0), (3e36, 1e38), (1e-30, 0), (1, 1e6), (0, 5)], ids=str)
@pytest.mark.parametrize("shape", [(3, 5, 6, 7), (40, 6)], ids=str)
def test_numbers_whose_squares_float32_cannot_hold(shape, factor, offset):
    given = inputs(shape, offset=0)
    given["x"] = (given["x"].astype(np.float64) * factor + offset).astype(np.float32)
    proto = single_node("BatchNormalization", given, opset=15, outputs=3, training_mode=1, epsilon=0.0 if factor else 1e-5)
    results, expected = run(proto, given), wanted(given, 0.0 if factor else 1e-5)
    # y is one multiply-add: what rounding leaves of a large mean is left in the difference.
    assert_close(results[0], expected[0], 2e-6 + 3e-7 * abs(offset) / max(factor, 1e-3) if np.isfinite(results[0]).all() else 0)
    assert_close(results[1], expected[1], 2e-6)
    for got, want in zip(results[2], expected[2]):
        assert np.isinf(got) if want > np.finfo(np.float32).max else abs(got - want) <= 1e-5 * want


def test_between_convolutions_nothing_is_folded_into_or_fused_with_it():
    """Activations and scales behind it, a pooling or a 1x1 convolution that alone reads it, large batches in parts.

    Statistics of their own each: onnxruntime writes the running ones over its inputs.
    """
    rng = np.random.default_rng(0)
    vectors = {name: rng.random(32).astype(np.float32) + 0.5 for name in ("s", "b", "m1", "v1", "m2", "v2", "m3", "v3")}
    constants = {**vectors, "w": rng.standard_normal((32, 4, 3, 3)).astype(np.float32), "k": rng.random((1, 32, 1, 1)).astype(np.float32),
                 "p": rng.standard_normal((16, 32, 1, 1)).astype(np.float32)}
    def norm(x: str, y: str, k: int):
        return node("BatchNormalization", [x, "s", "b", f"m{k}", f"v{k}"], [y, f"rm{k}", f"rv{k}"], training_mode=1)

    nodes = [node("Conv", ["x", "w"], ["c"], pads=[1] * 4), norm("c", "n", 1), node("Relu", ["n"], ["r"]), node("Mul", ["r", "k"], ["q"]),
             norm("q", "n2", 2), node("Conv", ["n2", "p"], ["y"]),
             norm("q", "n3", 3), node("MaxPool", ["n3"], ["z"], kernel_shape=[2, 2], strides=[2, 2])]
    proto = model(nodes, {"x": ["n", 4, 14, 14]}, ["y", "z", "rm1", "rv1", "rv2"], constants, opset=15)
    for n in (1, 3, 17):
        feeds = {"x": rng.standard_normal((n, 4, 14, 14)).astype(np.float32)}
        for got, want in zip(run(proto, feeds, threads=2), onnxruntime_run(proto, feeds)):
            assert_close(got, want, 2e-5)


def moments(layout: str, n: int, c: int, pixels: int, threads: int, dtype: int = 0) -> list[np.ndarray]:
    kind = np.float64 if dtype else np.float32
    rng = np.random.default_rng(c)
    x = (rng.standard_normal((n, c, pixels)) * 2 + 5).astype(kind)
    laid, strides = (x, (c * pixels, pixels, 1)) if layout == "planes" else (x.transpose(0, 2, 1).copy(), (c * pixels, 1, c))
    outputs = [Guarded(np.zeros(c, kind), output=True) for _ in range(4)]
    vectors = [Guarded((rng.random(c) + 0.5).astype(kind)) for _ in range(4)]
    image, channel, pixel = strides
    assert run_step("batch_norm", [*outputs, Guarded(laid), *vectors], threads=threads, outputs=4, n=n, c=c, pixels=pixels, x_image=image,
                    x_channel=channel, x_pixel=pixel, dtype=dtype, epsilon=1e-3, momentum=0.5) == 0
    wide, (gamma, beta, mean, var) = x.astype(np.float64), (v.array.astype(np.float64) for v in vectors)
    own, spread = wide.mean((0, 2)), wide.var((0, 2))
    factor = gamma / np.sqrt(spread + np.float32(1e-3))
    for got, want in zip(outputs, (factor, beta - own * factor, (mean + own) / 2, (var + spread) / 2)):
        assert_close(got.array, want, 1e-14 if dtype else 1e-6)
    return [v.array for v in outputs]


@pytest.mark.parametrize("dtype", [0, 1])
@pytest.mark.parametrize("layout", ["planes", "channels last"])
@pytest.mark.parametrize("n, c, pixels", [(1, 2, 3), (2, 1, 64), (2, 7, 63), (3, 16, 65), (1, 17, 4097), (2, 40, 700), (1, 5, 20000),
                                          (90, 3, 49), (17, 2, 256), (5, 2, 257)])
def test_step(isa, n, c, pixels, layout, dtype):
    alone = moments(layout, n, c, pixels, 1, dtype)
    for threads in (2, 3):
        for a, b in zip(alone, moments(layout, n, c, pixels, threads, dtype)):
            np.testing.assert_array_equal(a, b)
