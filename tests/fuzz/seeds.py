"""Valid models to start from: onnx's node tests, which use every operator at its newest, and small graphs of several operators."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.model import collect_testcases as model_cases
from onnx.backend.test.case.node import collect_testcases as node_cases

# Files of other people that are small enough to be mutated thousands of times.
CORPUS = Path(__file__).parent.parent.parent.parent / "shared" / "corpus"
LARGEST = 300_000
node = helper.make_node


@dataclass(frozen=True)
class Seed:
    """A model, serialised, and inputs that it takes by name."""

    name: str
    data: bytes
    feeds: dict[str, np.ndarray]


@cache
def seeds(corpus: bool = True) -> tuple[Seed, ...]:
    """All of them, always in the same order."""
    found = [_of_case(case) for case in sorted([*node_cases(None), *model_cases()], key=lambda case: case.name) if case.model is not None]
    found += [Seed(proto.graph.name, proto.SerializeToString(), {}) for proto in small_graphs()]
    if corpus and CORPUS.is_dir():
        files = sorted(f for f in CORPUS.rglob("*.onnx") if f.stat().st_size < LARGEST)
        found += [Seed(f.stem, f.read_bytes(), {}) for f in files]
    return tuple(seed for seed in found if len(seed.data) < LARGEST)


def _of_case(case: object) -> Seed:
    proto = case.model
    values = case.data_sets[0][0] if case.data_sets else []
    feeds = {i.name: v for i, v in zip(proto.graph.input, values) if isinstance(v, np.ndarray)}
    return Seed(case.name, proto.SerializeToString(), feeds)


def _graph(name: str, nodes: list, inputs: dict, outputs: list[str], constants: dict, types: dict | None = None) -> onnx.ModelProto:
    kinds = types or {}
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info(n, kinds.get(n, 1), s) for n, s in inputs.items()],
                              [onnx.ValueInfoProto(name=o) for o in outputs],
                              [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def small_graphs() -> list[onnx.ModelProto]:
    """What passes fuse, batches are cut for and bodies run: several operators at once."""
    rng = np.random.default_rng(0)

    def w(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)
    residual = _graph("residual", [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4), node("BatchNormalization", ["c1", "s", "s", "s", "v"], ["n1"]),
        node("Relu", ["n1"], ["r1"]), node("Conv", ["r1", "w2"], ["c2"], pads=[1] * 4), node("Add", ["c2", "x"], ["a"]),
        node("Relu", ["a"], ["r2"]), node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["p"], ["g"]), node("Flatten", ["g"], ["f"]), node("Gemm", ["f", "w3"], ["y"], transB=1)],
        {"x": ["n", 8, 10, 9]}, ["y"], {"w1": w(8, 8, 3, 3), "b1": w(8), "s": w(8), "v": np.abs(w(8)), "w2": w(8, 8, 3, 3), "w3": w(5, 8)})
    shuffle = _graph("shuffle", [
        node("Split", ["x"], ["a", "b"], axis=1), node("Conv", ["a", "d"], ["c"], group=4, pads=[1] * 4),
        node("Sigmoid", ["c"], ["s"]), node("Mul", ["c", "s"], ["m"]), node("Concat", ["m", "b"], ["k"], axis=1),
        node("Reshape", ["k", "s1"], ["t"]), node("Transpose", ["t"], ["u"], perm=[0, 2, 1, 3, 4]), node("Reshape", ["u", "s2"], ["z"]),
        node("Shape", ["z"], ["shape"]), node("Gather", ["shape", "i"], ["h"]), node("Unsqueeze", ["h", "zero"], ["h1"]),
        node("Concat", ["one", "one", "h1", "h1"], ["sizes"], axis=0), node("Expand", ["z", "sizes"], ["e"]),
        node("Resize", ["e", "", "scales"], ["y"], mode="linear")],
        {"x": [1, 8, 6, 6]}, ["y", "shape"],
        {"d": w(4, 1, 3, 3), "s1": np.array([1, 2, 4, 6, 6]), "s2": np.array([1, 8, 6, 6]), "i": np.array(2), "zero": np.array([0]),
         "one": np.array([1]), "scales": np.array([1, 1, 2, 1.5], np.float32)})
    branch = helper.make_graph([node("Add", ["x", "k"], ["q"])], "branch", [], [onnx.ValueInfoProto(name="q")],
                               [numpy_helper.from_array(w(3), "k")])
    other = helper.make_graph([node("Neg", ["x"], ["q"])], "other", [], [onnx.ValueInfoProto(name="q")])
    body = helper.make_graph([node("Identity", ["go"], ["on"]), node("MatMul", ["a", "m"], ["b"])], "body",
                             [helper.make_tensor_value_info(*i) for i in (("i", 7, []), ("go", 9, []), ("a", 1, [2, 3]))],
                             [onnx.ValueInfoProto(name=n) for n in ("on", "b", "b")])
    flow = _graph("flow", [
        node("If", ["c"], ["v"], then_branch=branch, else_branch=other), node("Loop", ["n", "", "v"], ["l", "rows"], body=body),
        node("NonZero", ["l"], ["where"]), node("GatherND", ["l", "zeros"], ["picked"]), node("TopK", ["l", "one"], ["top", "at"]),
        node("ScatterElements", ["l", "at", "top"], ["y"], axis=1), node("ReduceSum", ["rows"], ["r"], keepdims=0)],
        {"x": [2, 3], "c": []}, ["y", "r", "where", "picked"],
        {"m": w(3, 3), "n": np.array(4), "one": np.array([1]), "zeros": np.array([[0, 1]])}, {"c": TensorProto.BOOL})
    norm = _graph("norm", [
        node("LayerNormalization", ["x", "s", "s"], ["n"]), node("MatMul", ["n", "w"], ["q"]), node("Softmax", ["q"], ["p"]),
        node("Einsum", ["p", "x"], ["e"], equation="bij,bik->bjk"), node("ReduceMean", ["e"], ["m"], axes=[1]),
        node("Pad", ["m", "pads"], ["z"]), node("Slice", ["z", "starts", "ends"], ["t"]), node("CumSum", ["t", "axis"], ["y"])],
        {"x": [2, 4, 6]}, ["y"], {"s": w(6), "w": w(6, 6), "pads": np.array([0, 1, 0, 0, 1, 2]), "starts": np.array([0, 0]),
                                  "ends": np.array([2, 1]), "axis": np.array(2)})
    return [residual, shuffle, flow, norm]
