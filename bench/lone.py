"""Times single operators and small models beside onnxruntime:  python -m bench.lone [WORDS] [FILE.onnx ...]

Each case is a model of one layer, or of the few nodes that an exporter writes for it, batch 1, inputs and outputs as ONNX has them; WORDS
select those whose name has one of them. The two engines take turns on one thread; the least time of each counts. Exits with 1 when a case
is below its bar: onnxruntime's time over ours, 0.95 where a copy at the border is most of the work, else 1.
"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench import report
from bench.kinds import Net, least_ms
from fastcnn.benchmark import machine

BAR, LONE_BAR = 1.0, 0.95
TOLERANCE = 1e-4             # of the largest value
FLOAT, HALF, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64


def group_norm(groups: int, channels: int, *extents: int) -> Net:
    """torch.nn.GroupNorm as torch's exporter writes it."""
    net = Net(1, channels, *extents)
    net.add("Reshape", net.constant(np.array([0, groups, -1])))
    net.add("InstanceNormalization", net.constant(np.ones(groups, np.float32)), net.constant(np.zeros(groups, np.float32)), epsilon=1e-5)
    net.add("Reshape", net.constant(np.array([1, channels, *extents])))
    ones = [1] * len(extents)
    return net.add("Mul", net.weights(channels, *ones)).add("Add", net.weights(channels, *ones))


def group_norm_op(groups: int, channels: int, *extents: int) -> Net:
    net = Net(1, channels, *extents, opset=21)
    return net.add("GroupNormalization", net.weights(channels), net.weights(channels), num_groups=groups)


def instance_norm(channels: int, *extents: int) -> Net:
    net = Net(1, channels, *extents)
    return net.add("InstanceNormalization", net.weights(channels), net.weights(channels))


def pointwise_depthwise(channels: int, side: int) -> Net:
    """YuNet's block: a 1x1 convolution, a depthwise one and its Relu, twice."""
    net = Net(1, channels, side, side)
    for _ in range(2):
        net.conv(channels, channels, 1, 1).conv(channels, channels, 3, 3, group=channels).add("Relu")
    return net


def resized(channels: int, source: int, target: int, mode: str, **attrs: Any) -> Net:
    net = Net(1, channels, source, source)
    scales = net.constant(np.array([1, 1, target / source, target / source], np.float32))
    return net.add("Resize", "", scales, mode=mode, **attrs)


def cell_loop(steps: int, width: int) -> onnx.ModelProto:
    """A recurrent cell of gates spelled out in a Loop, one step an iteration: small nodes, a state carried along, outputs stacked."""
    rng = np.random.default_rng(0)
    weights = {name: (rng.standard_normal(shape) * 0.1).astype(np.float32) for name, shape in
               {"wx": (width, 4 * width), "wh": (width, 4 * width), "b": (4 * width,)}.items()}
    node = helper.make_node
    body = helper.make_graph([
        node("Gather", ["x", "i"], ["now"], axis=0), node("MatMul", ["now", "wx"], ["fromx"]), node("MatMul", ["h", "wh"], ["fromh"]),
        node("Add", ["fromx", "fromh"], ["both"]), node("Add", ["both", "b"], ["gates"]),
        node("Split", ["gates"], ["gi", "gf", "gc", "go"], axis=-1, num_outputs=4),
        node("Sigmoid", ["gi"], ["si"]), node("Sigmoid", ["gf"], ["sf"]), node("Tanh", ["gc"], ["tc"]), node("Sigmoid", ["go"], ["so"]),
        node("Mul", ["sf", "c"], ["keep"]), node("Mul", ["si", "tc"], ["new"]), node("Add", ["keep", "new"], ["c.next"]),
        node("Tanh", ["c.next"], ["squashed"]), node("Mul", ["so", "squashed"], ["h.next"]), node("Identity", ["h.next"], ["out"]),
        node("Identity", ["going"], ["going.next"]),
    ], "body", [helper.make_tensor_value_info("i", INT64, []), helper.make_tensor_value_info("going", onnx.TensorProto.BOOL, []),
                helper.make_tensor_value_info("h", FLOAT, [1, width]), helper.make_tensor_value_info("c", FLOAT, [1, width])],
        [helper.make_tensor_value_info("going.next", onnx.TensorProto.BOOL, []),
         *(helper.make_tensor_value_info(name, FLOAT, [1, width]) for name in ("h.next", "c.next", "out"))])
    constants = [*(numpy_helper.from_array(w, name) for name, w in weights.items()), numpy_helper.from_array(np.array(steps), "steps"),
                 numpy_helper.from_array(np.array(True), "going0"), numpy_helper.from_array(np.zeros((1, width), np.float32), "zero")]
    graph = helper.make_graph([node("Loop", ["steps", "going0", "zero", "zero"], ["h.last", "c.last", "y"], body=body)], "loop",
                              [helper.make_tensor_value_info("x", FLOAT, [steps, 1, width])],
                              [helper.make_tensor_value_info("y", FLOAT, [steps, 1, width])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def typed(net: Net, source: int, target: int) -> onnx.ModelProto:
    """The model of a net whose input and output are not floats."""
    model = net.model()
    model.graph.input[0].type.tensor_type.elem_type = source
    model.graph.output[0].type.tensor_type.elem_type = target
    return model


def cast(source: int, target: int) -> onnx.ModelProto:
    return typed(Net(1, 64, 112, 112).add("Cast", to=target), source, target)


def normed_between(groups: int, channels: int, side: int) -> Net:
    """A group normalisation between two convolutions, as in networks."""
    net = Net(1, channels, side, side).conv(channels, channels, 1, 1)
    net.add("Reshape", net.constant(np.array([0, groups, -1])))
    net.add("InstanceNormalization", net.constant(np.ones(groups, np.float32)), net.constant(np.zeros(groups, np.float32)))
    net.add("Reshape", net.constant(np.array([1, channels, side, side])))
    return net.add("Mul", net.weights(channels, 1, 1)).add("Add", net.weights(channels, 1, 1)).conv(channels, channels, 1, 1)


def sparse_non_zero(*shape: int) -> onnx.ModelProto:
    net = Net(*shape)
    return typed(net.add("Greater", net.constant(np.float32(1.28))).add("NonZero"), FLOAT, INT64)


def reversed_sequence(time: int, *shape: int) -> Net:
    net = Net(*shape)
    lengths = net.constant(np.resize([shape[time], shape[time] // 2 + 1], shape[1 - time]).astype(np.int64))
    return net.add("ReverseSequence", lengths, time_axis=time, batch_axis=1 - time)


def batch_norm_in_training(*shape: int) -> Net:
    net = Net(*shape, opset=15)
    vectors = [net.constant(net.rng.random(shape[1], np.float32)) for _ in range(4)]
    return net.add("BatchNormalization", *vectors, outputs=3, training_mode=1)


Made = Net | onnx.ModelProto
# Name -> (the model, bar).
CASES: dict[str, tuple[Callable[[], Made], float]] = {
    # Inverse short-time Fourier transforms and vocoders: channels in and out, kernel, stride, frames.
    "istft 1026 to 1, k1024 s256, 100": (lambda: Net(1, 1026, 100).transposed(1026, 1, 1024, strides=[256]), BAR),
    "istft 1026 to 1, k1024 s256, 400": (lambda: Net(1, 1026, 400).transposed(1026, 1, 1024, strides=[256]), BAR),
    "istft 402 to 1, k400 s160, 200": (lambda: Net(1, 402, 200).transposed(402, 1, 400, strides=[160]), BAR),
    "istft 2049 to 1, k4096 s1024, 100": (lambda: Net(1, 2049, 100).transposed(2049, 1, 4096, strides=[1024]), BAR),
    "vocoder 256 to 8, k64 s32, 200": (lambda: Net(1, 256, 200).transposed(256, 8, 64, strides=[32], pads=[16, 16]), BAR),
    "vocoder 512 to 256, k16 s8, 100": (lambda: Net(1, 512, 100).transposed(512, 256, 16, strides=[8], pads=[4, 4]), BAR),
    "vocoder 256 to 128, k16 s8, 800": (lambda: Net(1, 256, 800).transposed(256, 128, 16, strides=[8], pads=[4, 4]), BAR),
    "vocoder 64 to 32, k4 s2, 12800": (lambda: Net(1, 64, 12800).transposed(64, 32, 4, strides=[2], pads=[1, 1]), BAR),
    "upsampling 21 to 21, k16x16 s8, 28x28": (
        lambda: Net(1, 21, 28, 28).transposed(21, 21, 16, 16, strides=[8, 8], pads=[4] * 4), BAR),
    "upsampling 21 by channel, k16x16 s8, 28x28": (
        lambda: Net(1, 21, 28, 28).transposed(21, 21, 16, 16, group=21, strides=[8, 8], pads=[4] * 4), BAR),
    "upsampling 64 by channel, k4x4 s2, 40x40": (
        lambda: Net(1, 64, 40, 40).transposed(64, 64, 4, 4, group=64, strides=[2, 2], pads=[1] * 4), BAR),
    "upsampling 64 to 1, k8x8 s4, 40x40": (lambda: Net(1, 64, 40, 40).transposed(64, 1, 8, 8, strides=[4, 4], pads=[2] * 4), BAR),
    "upsampling 128 to 3, k9x9 s3, 64x64": (lambda: Net(1, 128, 64, 64).transposed(128, 3, 9, 9, strides=[3, 3], pads=[3] * 4), BAR),
    "group norm 1 of 64, 56x56": (lambda: group_norm(1, 64, 56, 56), BAR),
    "group norm 2 of 64, 56x56": (lambda: group_norm(2, 64, 56, 56), BAR),
    "group norm 8 of 64, 56x56": (lambda: group_norm(8, 64, 56, 56), BAR),
    "group norm 32 of 128, 56x56": (lambda: group_norm(32, 128, 56, 56), BAR),
    "group norm 1 of 256, 1000": (lambda: group_norm(1, 256, 1000), BAR),
    "group norm 32 of 512, 14x14": (lambda: group_norm(32, 512, 14, 14), BAR),
    "group norm 8 of 24, 31x33": (lambda: group_norm(8, 24, 31, 33), BAR),
    "GroupNormalization 1 of 64, 56x56": (lambda: group_norm_op(1, 64, 56, 56), BAR),
    "GroupNormalization 8 of 64, 56x56": (lambda: group_norm_op(8, 64, 56, 56), BAR),
    "GroupNormalization 32 of 128, 56x56": (lambda: group_norm_op(32, 128, 56, 56), BAR),
    "InstanceNormalization 64, 56x56": (lambda: instance_norm(64, 56, 56), BAR),
    "InstanceNormalization 32, 256x256": (lambda: instance_norm(32, 256, 256), BAR),
    "InstanceNormalization 1, 160000": (lambda: instance_norm(1, 160000), BAR),
    "InstanceNormalization 512, 200": (lambda: instance_norm(512, 200), BAR),
    "group norm between convolutions, 1 of 64, 56x56": (lambda: normed_between(1, 64, 56), BAR),
    "group norm between convolutions, 32 of 128, 28x28": (lambda: normed_between(32, 128, 28), BAR),
    "1x1 and depthwise 64, 160x160": (lambda: pointwise_depthwise(64, 160), BAR),
    "1x1 and depthwise 64, 80x80": (lambda: pointwise_depthwise(64, 80), BAR),
    "1x1 and depthwise 64, 40x40": (lambda: pointwise_depthwise(64, 40), BAR),
    "1x1 and depthwise 16, 160x160": (lambda: pointwise_depthwise(16, 160), BAR),
    "3x3 stride 2, 32 to 16, 320x320": (lambda: Net(1, 32, 320, 320).conv(32, 16, 3, 3, strides=[2, 2]), BAR),
    "3x3 stride 2, 3 to 16, 640x640": (lambda: Net(1, 3, 640, 640).conv(3, 16, 3, 3, strides=[2, 2]), BAR),
    "3x3 stride 2, 16 to 32, 160x160": (lambda: Net(1, 16, 160, 160).conv(16, 32, 3, 3, strides=[2, 2]), BAR),
    "3x3 stride 2, 128 to 128, 56x56": (lambda: Net(1, 128, 56, 56).conv(128, 128, 3, 3, strides=[2, 2]), BAR),
    "2x2, 8 to 16, 320x320": (lambda: Net(1, 8, 320, 320).conv(8, 16, 2, 2, pads=[0, 0, 1, 1]), BAR),
    "2x2 stride 2, 8 to 16, 320x320": (lambda: Net(1, 8, 320, 320).conv(8, 16, 2, 2, strides=[2, 2], pads=[0] * 4), BAR),
    **{f"depthwise {k}x{k} stride {s}, {c} of {n}x{n}": (
        lambda k=k, s=s, c=c, n=n: Net(1, c, n, n).conv(c, c, k, k, group=c, strides=[s, s]), LONE_BAR)
        for k, s, c, n in ((3, 1, 32, 112), (3, 1, 64, 56), (3, 1, 144, 56), (3, 1, 256, 28), (3, 1, 512, 14), (3, 1, 16, 320),
                           (3, 2, 32, 112), (3, 2, 96, 112), (3, 2, 144, 56), (3, 2, 192, 28),
                           (5, 1, 40, 56), (5, 1, 120, 28), (5, 1, 240, 14), (5, 2, 96, 56),
                           (7, 1, 96, 56), (7, 1, 192, 28), (7, 1, 384, 14))},
    "depthwise 7, 256 of 1000": (lambda: Net(1, 256, 1000).conv(256, 256, 7, group=256), LONE_BAR),
    "2 outputs a group, 256 groups, 28x28": (lambda: Net(1, 256, 28, 28).conv(256, 512, 3, 3, group=256), LONE_BAR),
    "2 outputs a group, 256 groups, 14x14": (lambda: Net(1, 256, 14, 14).conv(256, 512, 3, 3, group=256), LONE_BAR),
    "2 outputs a group, 32 groups, 56x56": (lambda: Net(1, 32, 56, 56).conv(32, 64, 3, 3, group=32), LONE_BAR),
    "depthwise separable 64 to 128, 56x56": (lambda: Net(1, 64, 56, 56).conv(64, 64, 3, 3, group=64).conv(64, 128, 1, 1), BAR),
    "1-D 9, 64, 1024": (lambda: Net(1, 64, 1024).conv(64, 64, 9), BAR),
    **{f"1-D {k} dilation {d}, {c}, {n}": (
        lambda k=k, d=d, c=c, n=n: Net(1, c, n).conv(c, c, k, dilations=[d], pads=[k // 2 * d] * 2), LONE_BAR)
        for k, d, c, n in ((3, 2, 64, 1000), (3, 4, 128, 1000), (3, 9, 64, 4000), (7, 3, 64, 2000), (11, 5, 32, 8000), (3, 27, 32, 4000))},
    "Resize antialiased linear, 3, 512 to 224": (lambda: resized(3, 512, 224, "linear", antialias=1), LONE_BAR),
    "Resize antialiased cubic, 3, 512 to 224": (lambda: resized(3, 512, 224, "cubic", antialias=1, cubic_coeff_a=-0.5), LONE_BAR),
    "Resize antialiased linear, 16, 256 to 100": (lambda: resized(16, 256, 100, "linear", antialias=1), LONE_BAR),
    "Resize cubic, 3, 256 to 512": (lambda: resized(3, 256, 512, "cubic", cubic_coeff_a=-0.75), BAR),
    "Resize cubic, 3, 256 to 1024": (lambda: resized(3, 256, 1024, "cubic", cubic_coeff_a=-0.75), BAR),
    "Resize cubic, 1, 256 to 768": (lambda: resized(1, 256, 768, "cubic", cubic_coeff_a=-0.75), BAR),
    "Resize cubic, 64, 64 to 128": (lambda: resized(64, 64, 128, "cubic", cubic_coeff_a=-0.75), BAR),
    "Resize linear, 3, 256 to 512": (lambda: resized(3, 256, 512, "linear"), BAR),
    "Resize linear, 64, 56 to 112": (lambda: resized(64, 56, 112, "linear"), BAR),
    "Resize nearest, 64, 56 to 112": (lambda: resized(64, 56, 112, "nearest", coordinate_transformation_mode="asymmetric",
                                                      nearest_mode="floor"), LONE_BAR),
    "SpaceToDepth 2, 3, 640x640": (lambda: Net(1, 3, 640, 640).add("SpaceToDepth", blocksize=2), LONE_BAR),
    "SpaceToDepth 2, 64, 56x56": (lambda: Net(1, 64, 56, 56).add("SpaceToDepth", blocksize=2), LONE_BAR),
    "SpaceToDepth 4, 16, 64x64": (lambda: Net(1, 16, 64, 64).add("SpaceToDepth", blocksize=4), LONE_BAR),
    "DepthToSpace 2, 64, 56x56": (lambda: Net(1, 64, 56, 56).add("DepthToSpace", blocksize=2), LONE_BAR),
    "Cast float to float16": (lambda: cast(FLOAT, HALF), LONE_BAR),
    "Cast float16 to float": (lambda: cast(HALF, FLOAT), LONE_BAR),
    "Cast float to int64": (lambda: cast(FLOAT, INT64), LONE_BAR),
    "Cast int64 to float": (lambda: cast(INT64, FLOAT), LONE_BAR),
    "Cast float to int32": (lambda: cast(FLOAT, onnx.TensorProto.INT32), LONE_BAR),
    "Cast float to uint8": (lambda: cast(FLOAT, onnx.TensorProto.UINT8), LONE_BAR),
    "Cast uint8 to float": (lambda: cast(onnx.TensorProto.UINT8, FLOAT), LONE_BAR),
    "Cast float to bool": (lambda: cast(FLOAT, onnx.TensorProto.BOOL), LONE_BAR),
    "NonZero, half of 256x256": (lambda: typed(Net(256, 256).add("Relu").add("NonZero"), FLOAT, INT64), LONE_BAR),
    "NonZero, a tenth of 1x80x8400": (lambda: sparse_non_zero(1, 80, 8400), LONE_BAR),
    "ReverseSequence, time first, 100 of 8 of 256": (lambda: reversed_sequence(0, 100, 8, 256), LONE_BAR),
    "ReverseSequence, batch first, 8 of 1000 of 64": (lambda: reversed_sequence(1, 8, 1000, 64), LONE_BAR),
    "ReverseSequence, batch first, 64 of 4000": (lambda: reversed_sequence(1, 64, 4000), LONE_BAR),
    "ReverseSequence, time first, 4000 of 64": (lambda: reversed_sequence(0, 4000, 64), LONE_BAR),
    "BatchNormalization in training, 8 of 64, 56x56": (lambda: batch_norm_in_training(8, 64, 56, 56), BAR),
    "BatchNormalization in training, 8 of 512, 7x7": (lambda: batch_norm_in_training(8, 512, 7, 7), BAR),
    "BatchNormalization in training, 256 of 512": (lambda: batch_norm_in_training(256, 512), BAR),
    "Loop of 50 cells of 64": (lambda: cell_loop(50, 64), BAR),
    "Loop of 200 cells of 16": (lambda: cell_loop(200, 16), BAR),
}


def feeds_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Random inputs; symbolic extents are 1."""
    rng, feeds = np.random.default_rng(1), {}
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        kind = value.type.tensor_type
        if value.name not in constants:
            shape = [dim.dim_value or 1 for dim in kind.shape.dim]
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
            feeds[value.name] = rng.standard_normal(shape).astype(dtype) if dtype.kind == "f" else rng.integers(0, 100, shape).astype(dtype)
    return feeds


def difference(got: np.ndarray, want: np.ndarray) -> float:
    """Largest difference over the largest value; infinite where shapes or types differ."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    got, want = (a.astype(np.float64) for a in (got, want))
    return float(np.abs(got - want).max(initial=0) / max(np.abs(want).max(initial=0), 1e-30))


def measure(model: onnx.ModelProto, seconds: float) -> tuple[float, float]:
    """(fastcnn, onnxruntime) in ms on one thread. Raises AssertionError where they differ or a node is in the fallback."""
    import onnxruntime

    import fastcnn

    feeds = feeds_of(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    peer = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    with fastcnn.load(model, threads=1) as ours:
        worst = max(map(difference, ours.run(None, feeds), peer.run(None, feeds)))
        assert not ours.fallback_nodes, f"{ours.fallback_nodes} in the fallback"
        assert worst <= TOLERANCE, f"other numbers: {worst:.1e}"
        first, second = least_ms([lambda: ours.run(None, feeds), lambda: peer.run(None, feeds)], seconds)
    return first, second


def row_of(name: str, make: Callable[[], Made], bar: float, seconds: float) -> tuple[str, bool]:
    """The row of a case, and whether it reaches its bar with the right numbers."""
    made = make()
    try:
        ours, peer = measure(made.model() if isinstance(made, Net) else made, seconds)
    except AssertionError as error:
        return f"| {name} | {error} | | | {bar} < |", False
    return f"| {name} | {ours:.3g} | {peer:.3g} | {peer / ours:.2f} | {bar}{' <' if peer / ours < bar else ''} |", peer / ours >= bar


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.lone", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="WORD or FILE")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each engine and case")
    parser.add_argument("--write", metavar="SECTION", help=f"into this section of {report.RESULTS.name}, too")
    arguments = parser.parse_args(argv)
    files = [name for name in arguments.names if name.endswith(".onnx")]
    words = [name for name in arguments.names if name not in files]
    cases = {name: case for name, case in CASES.items() if any(w in name for w in words) or not arguments.names}
    cases.update({Path(file).stem: (lambda file=file: onnx.load(file), BAR) for file in files})
    if not cases:
        parser.error(f"no case has {words} in its name")
    facts = machine.describe(["fastcnn", "onnxruntime"])
    versions = ", ".join(f"{engine} {version}" for engine, version in facts["versions"].items())
    lines = [f"{facts['cpu']}, one thread, {facts['date'][:10]}; {versions}; commit {facts['commit']}; `python -m bench.lone`", "",
             "| case | fastcnn ms | onnxruntime ms | ratio | bar |", "|---|---|---|---|---|"]
    print("\n".join(lines))
    low = 0
    for name, (make, bar) in cases.items():
        row, good = row_of(name, make, bar, arguments.seconds)
        print(row, flush=True)
        lines.append(row)
        low += not good
    lines += ["", f"{low} of {len(cases)} below their bar"]
    print(lines[-1])
    if arguments.write:
        report.write_section(report.RESULTS, arguments.write, "\n".join(lines))
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
