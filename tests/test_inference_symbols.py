"""Sizes that inference calls equal are equal: every operator on symbolic axes, its inferred shape against those of runs.

A pass that takes out what does nothing believes that equal symbols are equal sizes, and numbers are numbers.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_cases import node_cases

import fastcnn
from fastcnn.ir.graph import Shape
from fastcnn.ops import OPS
from fastcnn.passes import run_passes
from fastcnn.reader import read

onnxruntime.set_default_logger_severity(4)
pytestmark = pytest.mark.filterwarnings("ignore")                # of onnx's node tests, which divide by zero on purpose
I64, LAST = np.int64, 2 ** 62


@dataclass(frozen=True)
class Case:
    """Nodes (operator, inputs, outputs, attributes) on float inputs: an int is a free axis and its least size, a string a fixed one."""

    nodes: tuple[tuple[str, list[str], list[str], dict[str, Any]], ...]
    inputs: dict[str, tuple[int | str, ...]]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    opsets: tuple[int, ...] = (13,)

    def __str__(self) -> str:
        values = {name: value.tolist() for name, value in self.constants.items() if value.size < 9}
        return "; ".join(f"{op}({', '.join(ins)}) {attrs}" for op, ins, _, attrs in self.nodes) + f" {values}"

    def model(self, opset: int) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [int(d) if isinstance(d, str) else f"{name}{k}"
                                                                         for k, d in enumerate(sizes)])
                 for name, sizes in self.inputs.items()]
        outputs = [onnx.ValueInfoProto(name=name) for _, _, names, _ in self.nodes for name in names]
        graph = helper.make_graph([helper.make_node(op, ins, outs, **attrs) for op, ins, outs, attrs in self.nodes], "g", infos, outputs,
                                  [numpy_helper.from_array(value, name) for name, value in self.constants.items()])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def one(op: str, x: tuple[int | str, ...] = (5, 6), constants: Mapping[str, Any] | None = None, opsets: tuple[int, ...] = (7, 13, 22),
        order: list[str] | None = None, outputs: int = 1, z: tuple[int | str, ...] | None = None, **attrs: Any) -> Case:
    """One node on x, maybe z, and constants."""
    inputs = {"x": x} if z is None else {"x": x, "z": z}
    arrays = {name: np.asarray(value) for name, value in (constants or {}).items()}
    names = [f"y{k}" for k in range(outputs)]
    return Case(((op, order or [*inputs, *arrays], names, attrs),), inputs, arrays, opsets)


def slices() -> Iterator[Case]:
    for start, end in ((0, -1), (1, LAST), (0, LAST), (0, 2 ** 31 - 1), (-3, LAST), (0, 4), (1, -1), (-2, -1)):
        yield one("Slice", opsets=(7, 9), axes=[0], starts=[start], ends=[end])
        for step in (1, 2, -1):
            yield one("Slice", constants={"s": [start], "e": [end], "a": [0], "t": [step]}, opsets=(10, 11, 13))
        yield one("Slice", constants={"s": [start, 0], "e": [end, LAST]}, opsets=(10, 11, 13))
    yield one("Slice", constants={"s": [-1], "e": [-LAST], "a": [-1], "t": [-1]}, opsets=(10, 11, 13))


def padded() -> Iterator[Case]:
    for pad in (1, -1, 0):
        yield one("Pad", opsets=(7, 10), pads=[pad, 0, 0, 0])
        yield one("Pad", constants={"p": [pad, 0, 0, pad]}, opsets=(11, 13, 18, 21))
        yield one("Pad", constants={"p": [pad, 1], "v": np.float32(0), "a": [-1]}, opsets=(18, 19, 21))


def resized() -> Iterator[Case]:
    x, f32 = (2, 4, 8, 8), np.float32
    for scale, mode in product((1, 2, 0.5, 0.7, 1.3, 1.0001), ("nearest", "linear")):
        yield one("Resize", x, {"s": f32([1, 1, scale, 1])}, (10,), mode=mode)
        yield one("Resize", x, {"r": f32([]), "s": f32([1, 1, scale, 1])}, (11, 13, 18, 19), mode=mode)
        yield one("Upsample", x, opsets=(7,), scales=[1.0, 1.0, max(scale, 1.0), 1.0], mode=mode)
        yield one("Resize", x, {"s": f32([scale, scale])}, (18, 19), order=["x", "", "s"], axes=[2, 3])
    for policy in ("not_larger", "not_smaller", "stretch"):
        yield one("Resize", x, {"z": [9, 12]}, (18,), order=["x", "", "", "z"], axes=[2, 3], keep_aspect_ratio_policy=policy)
    yield one("Resize", x, {"z": [2, 4, 7, 8]}, (13, 18), order=["x", "", "", "z"])


def windows() -> Iterator[Case]:
    w = np.zeros((4, 4, 3, 3), np.float32)
    x = (2, "4", 8, 8)
    pads = ([0] * 4, [1] * 4, [0, 0, 1, 1])
    paddings = [*({"pads": p} for p in pads), *({"auto_pad": a} for a in ("VALID", "SAME_UPPER", "SAME_LOWER"))]
    for stride, dilation, padding in product((1, 2), (1, 2), paddings):
        if dilation > 1 and "SAME" in padding.get("auto_pad", ""):
            continue
        for op in ("Conv", "ConvTranspose"):
            yield one(op, x, {"w": w}, (7, 11, 22), strides=[stride] * 2, dilations=[dilation] * 2, **padding)
    for more in ({"output_shape": [17, 17]}, {"output_padding": [1, 1]}):
        yield one("ConvTranspose", x, {"w": w}, (7, 11, 22), strides=[2, 2], **more)
    for op, kernel, stride, padding, ceil in product(("MaxPool", "AveragePool", "LpPool"), (1, 2, 3), (1, 2), paddings, (0, 1)):
        opsets = (7, 11, 22) if not ceil else (10, 19) if op != "LpPool" else (18, 22)
        if max(padding.get("pads", [0])) < kernel and (op != "LpPool" or not ceil):      # onnxruntime's LpPool rounds down
            yield one(op, x, opsets=opsets, kernel_shape=[kernel] * 2, strides=[stride] * 2, **{"ceil_mode": 1} if ceil else {}, **padding)
    for op, opsets in (("MaxPool", (10, 22)), ("AveragePool", (19, 22)), ("LpPool", (18, 22))):
        yield one(op, x, opsets=opsets, kernel_shape=[2, 3], dilations=[2, 1], pads=[1, 1, 1, 1])


def joined() -> Iterator[Case]:
    for z in ((5, 6), (3, 6), ("4", 6)):
        yield one("Concat", z=z, axis=0)
    yield one("Concat", order=["x", "x"], axis=1)
    yield one("Concat", axis=0)
    yield one("Concat", (5, "6"), {"k": np.zeros((0, 6), np.float32)}, axis=0)
    yield one("Split", outputs=2, axis=1, split=[2, 4], opsets=(7, 11))
    yield one("Split", constants={"s": [2, 4]}, outputs=2, axis=1, opsets=(13, 18))
    yield one("Split", (5, "6"), outputs=2, axis=1, opsets=(7, 11, 13))
    yield one("Split", (5, 7), outputs=3, axis=1, num_outputs=3, opsets=(18, 22))
    yield one("Split", outputs=1, axis=1, num_outputs=1, opsets=(18, 22))


def picked() -> Iterator[Case]:
    for indices, axis in product(([0, 2], [1], 1, [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]), (0, 1)):
        yield one("Gather", constants={"i": indices}, axis=axis)
    yield one("GatherElements", constants={"i": np.zeros((2, 6), I64)}, axis=0, opsets=(11, 13))
    yield one("GatherND", constants={"i": np.zeros((2, 1), I64)}, opsets=(11, 13))
    for more in ({"axis": 0}, {}):
        yield one("Compress", constants={"c": np.array([1, 0, 1, 1, 0], bool)}, opsets=(9, 11), **more)
    for block in (1, 2):
        yield one("SpaceToDepth", (2, 4, 8, 8), opsets=(7, 13), blocksize=block)
        yield one("DepthToSpace", (2, 4, 8, 8), opsets=(7, 11, 13), blocksize=block)
    yield one("TopK", constants={"k": [2]}, outputs=2, opsets=(10, 11), axis=0)
    yield one("NonZero", opsets=(9, 13))
    for keep in (0, 1):
        yield one("ArgMax", axis=1, keepdims=keep)
    yield one("GlobalLpPool", (2, 4, 8, 8), opsets=(7,))
    yield one("Scatter", constants={"i": np.zeros((1, 1), I64), "u": np.zeros((1, 1), np.float32)}, opsets=(9,), axis=0)
    yield one("MaxRoiPool", (2, 4, 8, 8), z=(3, "5"), opsets=(7,), pooled_shape=[2, 2])
    yield one("GridSample", (2, 4, 8, 8), z=(2, 3, 5, "2"), opsets=(16, 20))


def recut() -> Iterator[Case]:
    for shape, x in product(([0, -1], [-1, 6], [0, 6], [5, 0], [0, 0], [-1], [0, 2, -1], [0, -1, 3]), ((5, 6), (5, "6"))):
        yield one("Reshape", x, {"s": shape}, (7, 13, 21))
    for axis in (0, 1, 2):
        yield one("Flatten", axis=axis)
    yield one("Flatten", (2, 3, 4, 5), axis=-1, opsets=(11, 13))
    for x in ((1, 6), ("1", 6)):
        yield one("Squeeze", x, opsets=(7, 11, 13))
        yield one("Squeeze", x, axes=[0], opsets=(7, 11))
        yield one("Squeeze", x, {"a": [0]}, opsets=(13, 22))
    yield one("Unsqueeze", axes=[0, 3], opsets=(7, 11))
    for repeats in ([1, 1], [2, 1], [0, 1]):
        yield one("Tile", constants={"r": repeats}, opsets=(7, 13))
    for shape, x in product(([5, 6], [1, 1], [3, 1, 1], [1, 6]), ((1, 6), (5, 6), ("1", 6))):
        yield one("Expand", x, {"s": shape}, (8, 13))
    yield one("CenterCropPad", constants={"s": [3, 8]}, opsets=(18,))
    yield one("CenterCropPad", constants={"s": [3]}, opsets=(18,), axes=[1])
    yield one("Col2Im", (2, 16, "9"), {"i": [4, 4], "b": [2, 2]}, (18,))
    yield one("Transpose", (2, 3, 4), perm=[0, 2, 1])


def broadcast() -> Iterator[Case]:
    for op, attrs in (("Add", {}), ("Max", {}), ("Sum", {}), ("Pow", {}), ("PRelu", {}), ("Mod", {"fmod": 1}), ("Less", {})):
        opsets = {"PRelu": (9, 16), "Mod": (10, 13), "Less": (11, 13)}.get(op, (8, 13))
        for z in ((5, 6), (1, 6), (5, 1), (6,), (1, 1)):
            yield one(op, z=z, opsets=opsets, **attrs)
            if op != "PRelu":
                yield one(op, (1, 6), z=z, opsets=opsets, **attrs)
            yield one(op, constants={"k": np.zeros([int(d) for d in z], np.float32)}, opsets=opsets, **attrs)
    for x, z in (((5, 6), (6, 5)), ((2, 5, 6), (6, 5)), ((1, 5, 6), (2, 6, 5)), ((6,), (6, 5)), ((2, 5, 6), (6,))):
        yield one("MatMul", x, z=z)
    yield one("MatMul", (1, 5, "6"), {"k": np.zeros((3, 6, 2), np.float32)})
    for a, b in product((0, 1), (0, 1)):
        yield one("Gemm", (6, 6), {"c": np.zeros(1, np.float32)}, z=(6, 6), transA=a, transB=b)
    for equation, x, z in (("ij,jk->ik", (5, 6), (6, 5)), ("...ij,...jk->...ik", (1, 5, 6), (3, 6, 5)), ("bij,bjk", (1, 5, 6), (3, 6, 5)),
                           ("bi,bj->bij", (1, 5), (4, 6)), ("i...,i...->...", (3, 1, 5), (3, 4, 1)), ("ij,ij->i", (5, 6), (5, 6))):
        yield one("Einsum", x, z=z, opsets=(12, 22), equation=equation)
    yield one("Einsum", (5, 5), opsets=(12,), equation="ii->i")


def reduced() -> Iterator[Case]:
    for op, keep in product(("ReduceSum", "ReduceMean", "ReduceL2"), (0, 1)):
        yield one(op, axes=[1], keepdims=keep, opsets=(7, 11))
        yield one(op, keepdims=keep, opsets=(7, 13, 18))
        yield one(op, constants={"a": [1]}, keepdims=keep, opsets=(13, 18) if op == "ReduceSum" else (18,))
        yield one(op, constants={"a": np.zeros(0, I64)}, keepdims=keep, noop_with_empty_axes=1, opsets=(18,))
    yield one("LSTM", (5, 2, "4"), {"w": np.zeros((1, 12, 4), np.float32), "r": np.zeros((1, 12, 3), np.float32)}, (7, 14), outputs=3,
              hidden_size=3)


def computed() -> Iterator[Case]:
    """Shapes that are computed from shapes."""
    size = ("Shape", ["x"], ["size"], {})
    x: dict[str, tuple[int | str, ...]] = {"x": (5, 6)}
    for op, by in (("Sub", 1), ("Add", 1), ("Mul", 2), ("Div", 2), ("Sub", 0)):
        yield Case((size, ("Gather", ["size", "zero"], ["n"], {}), (op, ["n", "by"], ["end"], {}),
                    ("Slice", ["x", "zero", "end", "zero"], ["y"], {})), x,
                   {"zero": np.array([0]), "by": np.array([by])}, (10, 11, 13))
        yield Case((size, (op, ["size", "by"], ["sizes"], {}), ("ConstantOfShape", ["sizes"], ["y"], {})), x,
                   {"by": np.array([by, by])}, (10, 13))
    yield Case((size, ("Tile", ["x", "size"], ["y"], {})), x, {}, (10, 13))
    yield Case((size, ("Max", ["size", "k"], ["sizes"], {}), ("ConstantOfShape", ["sizes"], ["y"], {})), x, {"k": np.array([7, 3])})
    yield Case((size, ("Gather", ["size", "swap"], ["sizes"], {}), ("Reshape", ["x", "sizes"], ["y"], {})), x, {"swap": np.array([1, 0])},
               (10, 13))
    yield Case((size, ("Concat", ["size", "zero"], ["pads"], {"axis": 0}), ("Pad", ["x", "pads"], ["y"], {})), x,
               {"zero": np.array([0, 0])}, (11, 13))
    yield Case((("Concat", ["x", "x"], ["c"], {"axis": 0}), ("Shape", ["c"], ["size"], {}), ("ConstantOfShape", ["size"], ["y"], {})), x,
               {}, (10, 13))
    yield Case((("MaxPool", ["x"], ["m", "i"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
                ("MaxUnpool", ["m", "i"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 2]})), {"x": (2, 4, 8, 8)}, {}, (11, 22))


FAMILIES = (slices, padded, resized, windows, joined, picked, recut, broadcast, reduced, computed)


def contradictions(shapes: Mapping[str, Shape | None], values: Mapping[str, Any]) -> list[str]:
    """Where inferred sizes are not those of the values: another rank, another number, two sizes of one symbol."""
    sizes: dict[str, int] = {}
    found = []
    for name, value in values.items():
        shape = shapes.get(name)
        if shape is None or not isinstance(value, np.ndarray):
            continue
        wrong = len(shape) != value.ndim or any(
            d != n if isinstance(d, int) else d is not None and sizes.setdefault(d, n) != n for d, n in zip(shape, value.shape))
        if wrong:
            found.append(f"{name}: {shape} for {value.shape}")
    return found


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_symbols_of_one_size(family) -> None:
    for case in family():
        for opset in case.opsets:
            model = case.model(opset)
            shapes = read(model).shapes
            session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
            ran = 0
            for extra in range(4):
                feeds = {name: np.ones([int(d) + extra * isinstance(d, int) for d in sizes], np.float32)
                         for name, sizes in case.inputs.items()}
                try:
                    results = session.run(None, feeds)
                except Exception:                                # extents that do not fit this operator
                    continue
                ran += 1
                values = {**feeds, **dict(zip((info.name for info in session.get_outputs()), results))}
                assert not contradictions(shapes, values), f"{case} at opset {opset}"
            assert ran, f"{case} at opset {opset} never ran"


def symbolic(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every axis of every input free."""
    free = onnx.ModelProto()
    free.CopyFrom(model)
    for info in free.graph.input:
        if info.type.HasField("tensor_type"):
            for k, dim in enumerate(info.type.tensor_type.shape.dim):
                dim.dim_param = f"{info.name}_{k}"
    return free


# Tried in FAMILIES.
WITHOUT_NODE_TESTS = [("", op) for op in ("GlobalLpPool", "MaxRoiPool", "Scatter", "Upsample")]


def test_symbols_of_every_operator() -> None:
    """onnx's own node tests, at the newest opset: all operators, and what they expand to."""
    seen = set()
    for case in node_cases():
        try:
            graph = read(symbolic(case.model))
        except fastcnn.FastCNNError:                             # opset 1, training
            continue
        for inputs, outputs in case.data_sets:
            names = [info.name for info in case.model.graph.input] + [info.name for info in case.model.graph.output]
            values = dict(zip(names, [*inputs, *outputs]))
            assert not contradictions(graph.shapes, values), case.name
            assert not contradictions(run_passes(graph).shapes, values), case.name
        seen |= {(node.domain, node.op_type) for node in case.model.graph.node}
    assert seen >= {(domain, op) for domain, op in OPS if not domain} - set(WITHOUT_NODE_TESTS)


def focus(opset: int) -> onnx.ModelProto:
    """Space to depth as YOLOv5 writes it: every second row and column from four corners, joined; heights and widths are free."""
    nodes, parts = [], []
    for k, (row, column) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        for axis, start, source, target in ((2, row, "x", f"rows{k}"), (3, column, f"rows{k}", f"part{k}")):
            nodes.append(helper.make_node("Slice", [source, f"at{start}", "end", f"axis{axis}", "two"], [target]))
        parts.append(f"part{k}")
    nodes += [helper.make_node("Concat", parts, ["joined"], axis=1), helper.make_node("Relu", ["joined"], ["y"])]
    constants = {"at0": 0, "at1": 1, "end": LAST, "axis2": 2, "axis3": 3, "two": 2}
    graph = helper.make_graph(nodes, "focus", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.array([value]), name) for name, value in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("opset", [10, 11, 13])
def test_focus_with_free_height_and_width(opset: int) -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 12, 14)).astype(np.float32)
    y, = fastcnn.load(focus(opset)).run(None, {"x": x})
    corners = ((0, 0), (1, 0), (0, 1), (1, 1))
    np.testing.assert_array_equal(y, np.maximum(np.concatenate([x[:, :, r::2, c::2] for r, c in corners], 1), 0))


def test_all_rows_but_the_last() -> None:
    model = one("Slice", (5, "3"), {"s": [0], "e": [-1]}, (10,)).model(10)
    assert fastcnn.load(model).run(None, {"x": np.ones((5, 3), np.float32)})[0].shape == (4, 3)
