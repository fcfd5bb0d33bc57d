"""Times every kind of convolution beside onnxruntime:  python -m bench.kinds [NAMES] [--write]

A model of the few nodes that make each kind, batch 1, inputs and outputs as ONNX has them. The two engines take turns; the least time of
each counts. --write puts the times into the table of fastcnn/ops/README.md, whose rows are these kinds.
"""
from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

TABLE = Path(__file__).parent.parent / "fastcnn" / "ops" / "README.md"
BEGIN, END = "<!-- kinds -->", "<!-- end of kinds -->"


class Net:
    """Nodes one after the other, from input x; weights are drawn from a seed."""

    def __init__(self, *shape: int, opset: int = 19):
        self.shape, self.opset, self.last = shape, opset, "x"
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def weights(self, *shape: int) -> str:
        return self.constant(self.rng.standard_normal(shape, dtype=np.float32) * np.float32(0.1))

    def constant(self, array: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, op_type: str, *more: str, outputs: int = 1, first: bool = True, **attrs: Any) -> Net:
        """A node that reads what the last one made (not with first=False) and `more`."""
        names = [f"v{len(self.nodes)}", *(f"v{len(self.nodes)}.{k}" for k in range(1, outputs))]
        self.nodes.append(helper.make_node(op_type, [*([self.last] if first else []), *more], names, **attrs))
        self.last = names[0]
        return self

    def conv(self, ic: int, oc: int, *kernel: int, group: int = 1, **attrs: Any) -> Net:
        attrs.setdefault("pads", [k // 2 * attrs.get("dilations", [1])[0] for k in kernel] * 2)
        return self.add("Conv", self.weights(oc, ic // group, *kernel), self.weights(oc), group=group, **attrs)

    def transposed(self, ic: int, oc: int, *kernel: int, group: int = 1, **attrs: Any) -> Net:
        return self.add("ConvTranspose", self.weights(ic, oc // group, *kernel), self.weights(oc), group=group, **attrs)

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "kind", [helper.make_tensor_value_info("x", 1, self.shape)],
                                  [helper.make_tensor_value_info(self.last, 1, None)], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)


def padded(mode: str) -> Net:
    net = Net(1, 64, 56, 56)
    return net.add("Pad", net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode=mode).conv(64, 64, 3, 3, pads=[0] * 4)


def deformable() -> Net:
    net = Net(1, 64, 56, 56)
    offset = net.constant(net.rng.standard_normal((1, 18, 56, 56), dtype=np.float32))
    return net.add("DeformConv", net.weights(64, 64, 3, 3), offset, net.weights(64), pads=[1] * 4)


def unshared() -> Net:
    """Unshared convolution as torch's exporter writes it: F.unfold, and a matrix per position."""
    net, at = Net(1, 16, 16, 16), np.arange(3)[:, None] + np.arange(16)
    net.add("Pad", net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))).add("Gather", net.constant(at), axis=2)
    net.add("Gather", net.constant(at), axis=4).add("Transpose", perm=[0, 1, 2, 4, 3, 5])
    windows = net.add("Reshape", net.constant(np.array([1, 144, 256]))).add("Transpose", perm=[2, 1, 0]).last
    net.add("MatMul", net.weights(256, 32, 144), windows, first=False).add("Transpose", perm=[2, 1, 0])
    return net.add("Reshape", net.constant(np.array([1, 32, 16, 16])))


def unpooled() -> Net:
    net = Net(1, 64, 56, 56).add("MaxPool", outputs=2, kernel_shape=[2, 2], strides=[2, 2])
    return net.add("MaxUnpool", "v0.1", kernel_shape=[2, 2], strides=[2, 2])


# Name of the row in TABLE -> the model.
KINDS: dict[str, Callable[[], Net]] = {
    "plain": lambda: Net(1, 64, 56, 56).conv(64, 64, 3, 3),
    "strided": lambda: Net(1, 128, 56, 56).conv(128, 128, 3, 3, strides=[2, 2]),
    "padded with zeros": lambda: padded("constant"),
    "padded by mirroring": lambda: padded("reflect"),
    "padded by the edge": lambda: padded("edge"),
    "padded by wrapping": lambda: padded("wrap"),
    "dilated": lambda: Net(1, 64, 56, 56).conv(64, 64, 3, 3, dilations=[2, 2]),
    "grouped": lambda: Net(1, 128, 28, 28).conv(128, 128, 3, 3, group=4),
    "depthwise": lambda: Net(1, 128, 56, 56).conv(128, 128, 3, 3, group=128),
    "depthwise separable": lambda: Net(1, 64, 56, 56).conv(64, 64, 3, 3, group=64).conv(64, 128, 1, 1),
    "pointwise": lambda: Net(1, 256, 56, 56).conv(256, 64, 1, 1),
    "spatially separable": lambda: Net(1, 128, 17, 17).conv(128, 128, 1, 7).conv(128, 128, 7, 1),
    "transposed": lambda: Net(1, 64, 28, 28).transposed(64, 32, 4, 4, strides=[2, 2], pads=[1] * 4),
    "transposed, every attribute": lambda: Net(1, 64, 28, 28).transposed(
        64, 32, 3, 3, group=2, strides=[2, 2], dilations=[2, 2], output_padding=[1, 1], pads=[2] * 4),
    "three-dimensional": lambda: Net(1, 64, 8, 28, 28).conv(64, 64, 3, 3, 3),
    "three-dimensional transposed": lambda: Net(1, 32, 8, 28, 28).transposed(32, 16, 3, 3, 3, strides=[2] * 3),
    "one-dimensional": lambda: Net(1, 64, 1024).conv(64, 64, 9),
    "deformable": deformable,
    "unshared": unshared,
    "unpooling": unpooled,
    "sub-pixel": lambda: Net(1, 64, 56, 56).conv(64, 12, 3, 3).add("DepthToSpace", blocksize=2, mode="CRD"),
}


def least_ms(runs: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """The least time in ms of each function; they take turns."""
    best = [float("inf")] * len(runs)
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end:
        for k, run in enumerate(runs):
            begin = time.perf_counter()
            run()
            best[k] = min(best[k], 1e3 * (time.perf_counter() - begin))
    return best


def measure(name: str, seconds: float) -> tuple[float, float]:
    """(fastcnn, onnxruntime) in ms on one thread. Raises AssertionError where they differ or a node is in the fallback."""
    import onnxruntime

    import fastcnn

    model = KINDS[name]().model()
    x = {"x": np.random.default_rng(1).standard_normal([d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim], np.float32)}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    peer = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    with fastcnn.load(model, threads=1) as ours:
        got, want = ours.run(None, x)[0], peer.run(None, x)[0]
        assert not ours.fallback_nodes, f"{name}: {ours.fallback_nodes} in the fallback"
        assert got.shape == want.shape and np.abs(got - want).max() <= 1e-4 * np.abs(want).max(), f"{name}: other numbers"
        first, second = least_ms([lambda: ours.run(None, x), lambda: peer.run(None, x)], seconds)
    return first, second


def filled(text: str, times: dict[str, tuple[float, float]]) -> str:
    """The text with new values in the last three cells of these rows between BEGIN and END."""
    head, table, tail = re.split(f"(?<={BEGIN})|(?={END})", text)
    lines = table.split("\n")
    for k, line in enumerate(lines):
        cells = line.split(" | ")
        name = cells[0].removeprefix("| ")
        if name in times:
            ours, peer = times[name]
            lines[k] = " | ".join([*cells[:-3], f"{ours:.3g}", f"{peer:.3g}", f"{peer / ours:.2f} |"])
    return head + "\n".join(lines) + tail


def rows(text: str) -> list[str]:
    """The kinds in the table."""
    table = text.split(BEGIN, 1)[1].split(END, 1)[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in table.strip().splitlines()[2:]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kinds", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(KINDS))
    parser.add_argument("--seconds", type=float, default=0.7, help="of each engine and kind")
    parser.add_argument("--write", action="store_true", help=f"put the times into {TABLE.name} of fastcnn/ops")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in KINDS]
    if unknown:
        parser.error(f"no kind {unknown[0]!r}")
    times = {}
    print("| kind | fastcnn ms | onnxruntime ms | ratio |\n|---|---|---|---|")
    for name in arguments.names or KINDS:
        ours, peer = times[name] = measure(name, arguments.seconds)
        print(f"| {name} | {ours:.3g} | {peer:.3g} | {peer / ours:.2f} |", flush=True)
    if arguments.write:
        TABLE.write_text(filled(TABLE.read_text(), times))


if __name__ == "__main__":
    main()
