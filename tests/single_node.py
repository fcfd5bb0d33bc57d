"""Models of one operator, run natively and compared with onnxruntime (or onnx.reference where it lacks the operator)."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import fastcnn

onnxruntime.set_default_logger_severity(4)


def single_node(op_type: str, inputs: Mapping[str, np.ndarray | None], constants: Sequence[str] = (), opset: int = 17,
                outputs: int = 1, domain: str = "", **attrs: Any) -> onnx.ModelProto:
    """A model of one node. inputs in order; None: omitted; those named in `constants` become initializers."""
    names = [name if array is not None else "" for name, array in inputs.items()]
    node = helper.make_node(op_type, names, [f"y{k}" for k in range(outputs)], name="node", domain=domain, **attrs)
    fed = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
           for name, a in inputs.items() if a is not None and name not in constants]
    kept = [numpy_helper.from_array(a, name) for name, a in inputs.items() if a is not None and name in constants]
    graph = helper.make_graph([node], op_type, fed, [onnx.ValueInfoProto(name=f"y{k}") for k in range(outputs)], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=8)
    results = [result.type.tensor_type.elem_type for result in onnx.shape_inference.infer_shapes(model).graph.output]
    for result, kind in zip(model.graph.output, results):
        if kind or domain:          # where onnx infers no type of its own operators, none is declared
            result.CopyFrom(helper.make_tensor_value_info(result.name, kind or TensorProto.FLOAT, None))
    return model


def feeds_of(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray]:
    return {info.name: inputs[info.name] for info in model.graph.input}


def expected_outputs(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], peer: str = "onnxruntime") -> list[np.ndarray]:
    if peer == "onnx.reference":
        return ReferenceEvaluator(model).run(None, dict(feeds))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, dict(feeds))


def check_native(op_type: str, inputs: Mapping[str, np.ndarray | None], constants: Sequence[str] = (), rtol: float = 1e-5,
                 peer: str = "onnxruntime", threads: int = 2, **more: Any) -> None:
    """The model runs without a fallback and agrees with the peer to rtol of its largest value."""
    model = single_node(op_type, inputs, constants, **more)
    feeds = feeds_of(model, inputs)
    wanted = expected_outputs(model, feeds, peer)
    with fastcnn.load(model, threads=threads) as native:
        got = native.run(None, feeds)
        assert not native.fallback_nodes
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted):
        assert g.shape == w.shape and g.dtype == w.dtype, (g.shape, w.shape, g.dtype, w.dtype)
        if w.dtype.kind != "f":
            np.testing.assert_array_equal(g, w)
            continue
        finite = np.isfinite(w)
        np.testing.assert_array_equal(g[~finite], w[~finite])
        error, scale = np.abs(g - w)[finite].max(initial=0.0), np.abs(w[finite]).max(initial=0.0)
        assert error <= rtol * max(scale, 1e-6), f"error {error:.3g}, largest value {scale:.3g}"


def check_fallback(op_type: str, inputs: Mapping[str, np.ndarray | None], constants: Sequence[str] = (), **more: Any) -> None:
    """The node goes to the fallback, which agrees with onnxruntime."""
    model = single_node(op_type, inputs, constants, **more)
    feeds = feeds_of(model, inputs)
    with fastcnn.load(model, threads=1) as fallback:
        got = fallback.run(None, feeds)
        assert fallback.fallback_nodes == ("node",) or fallback.fallback_nodes == ["node"]
    for g, w in zip(got, expected_outputs(model, feeds)):
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-6)
