"""Small models for the tests of the reader and the passes: written in ONNX, read, rewritten, run both ways."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from fastcnn.ir.graph import Graph
from fastcnn.reader import read
from fastcnn.reference import evaluate_graph

Arrays = Mapping[str, np.ndarray]


def damaged(data: bytes, changes: Sequence[tuple[float, int]], kept: float) -> bytes:
    """A file with some bytes changed, (where in [0, 1), value), and cut to the share `kept` where that is below a half."""
    broken = bytearray(data)
    for where, value in changes:
        broken[int(where * len(broken))] = value
    return bytes(broken[:round(kept * len(broken))]) if kept < 0.5 else bytes(broken)


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    outputs: Sequence[str],
    constants: Arrays | None = None,
    opset: int = 13,
    types: Mapping[str, int] | None = None,
) -> ModelProto:
    """A model with float inputs of these shapes (other types by `types`) and outputs of unstated type."""
    kinds = types or {}
    graph = helper.make_graph(
        list(nodes), "test",
        [helper.make_tensor_value_info(n, kinds.get(n, onnx.TensorProto.FLOAT), list(s)) for n, s in inputs.items()],
        [onnx.ValueInfoProto(name=o) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()])
    domains = {n.domain for n in nodes if n.domain}
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in sorted(domains))]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def onnxruntime_run(proto: ModelProto, feeds: Arrays) -> list[np.ndarray]:
    """Outputs of the model by onnxruntime, unoptimised, one thread."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))


def random_feeds(proto: ModelProto, symbols: Mapping[str, int] | None = None, seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded normal float32 for every input that is no initializer."""
    generator, initialised = np.random.default_rng(seed), {i.name for i in proto.graph.initializer}
    feeds = {}
    for info in proto.graph.input:
        if info.name not in initialised:
            dims = [d.dim_value or (symbols or {}).get(d.dim_param, 2) for d in info.type.tensor_type.shape.dim]
            feeds[info.name] = generator.standard_normal(dims).astype(np.float32)
    return feeds


def ops(graph: Graph) -> list[str]:
    """Operators in order, fused epilogues as "Conv+Relu", "Conv+residual", "Conv+slope"."""
    names = []
    for node in graph.nodes:
        parts = [node.op_type]
        if node.op_type in ("Conv", "ConvTranspose", "MatMul"):
            parts += ["residual"] * bool(node.input(3)) + ["slope"] * bool(node.input(4))
        names.append("+".join(parts + ([node.activation.name] if node.activation else [])))
    return names


def check_rewrite(
    proto: ModelProto,
    rewrites: Callable[[Graph], bool] | Sequence[Callable[[Graph], bool]],
    expected: list[str],
    symbols: Mapping[str, int] | None = None,
    rtol: float = 2e-5,
) -> Graph:
    """Applies the rewrites to the model's graph: the operators left are as expected, the numbers onnxruntime's."""
    graph = read(proto)
    for rewrite in rewrites if isinstance(rewrites, Sequence) else [rewrites]:
        rewrite(graph)
    assert ops(graph) == expected
    feeds = random_feeds(proto, symbols)
    want, got = onnxruntime_run(proto, feeds), evaluate_graph(graph, feeds)
    for info, reference in zip(graph.outputs, want):
        assert got[info.name].dtype == reference.dtype and got[info.name].shape == reference.shape
        scale = np.abs(reference).max() if reference.size else 1.0
        np.testing.assert_allclose(got[info.name], reference, rtol=0, atol=rtol * max(scale, 1e-6))
    return graph


def floats(*shape: int, seed: int = 1) -> np.ndarray:
    """Seeded normal float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


node = helper.make_node
