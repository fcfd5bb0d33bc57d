"""Unshared convolution as exporters write it becomes one node with onnxruntime's numbers; what only looks like it stays."""
from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import fastcnn
from fastcnn.passes import run_passes
from fastcnn.reader import read
from fastcnn.reference import evaluate_graph

RNG = np.random.default_rng(5)
N, C, M, H, W = 2, 3, 5, 6, 7


class Net:
    """Nodes and constants while they are written down."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: object) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, op_type: str, *inputs: str, **attrs: object) -> str:
        self.nodes.append(helper.make_node(op_type, list(inputs), [f"v{len(self.nodes)}"], name=f"n{len(self.nodes)}", **attrs))
        return self.nodes[-1].output[0]

    def model(self, y: str, shape: tuple[int, ...] = (N, C, H, W)) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "g", [helper.make_tensor_value_info("x", 1, shape)],
                                  [helper.make_tensor_value_info(y, 1, None)], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, dtype=np.float32)


def indices(size: int, kernel: int, stride: int, dilation: int, pad: int) -> np.ndarray:
    """(kernel, windows): where each element of each window lies, as torch's exporter writes for unfold."""
    count = (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
    return np.arange(kernel)[:, None] * dilation + np.arange(count)[None] * stride


def unfold(net: Net, kernel: int, stride: int, dilation: int, pad: int) -> tuple[str, int, int]:
    """(N, C*k*k, H'*W') of F.unfold, and H', W'."""
    x = net.add("Pad", "x", net.constant(np.array([0, 0, pad, pad, 0, 0, pad, pad]))) if pad else "x"
    rows, columns = (indices(size, kernel, stride, dilation, pad) for size in (H, W))
    x = net.add("Gather", net.add("Gather", x, net.constant(rows), axis=2), net.constant(columns), axis=4)
    x = net.add("Transpose", x, perm=[0, 1, 2, 4, 3, 5])
    oh, ow = rows.shape[1], columns.shape[1]
    return net.add("Reshape", x, net.constant(np.array([N, C * kernel * kernel, oh * ow]))), oh, ow


def matmul_form(*window: int) -> onnx.ModelProto:
    net = Net()
    x, oh, ow = unfold(net, *window)
    y = net.add("MatMul", net.constant(weights(oh * ow, M, C * window[0] ** 2)), net.add("Transpose", x, perm=[2, 1, 0]))
    y = net.add("Reshape", net.add("Transpose", y, perm=[2, 1, 0]), net.constant(np.array([N, M, oh, ow])))
    return net.model(net.add("Relu", net.add("Add", y, net.constant(weights(M, oh, ow)))))


def rows_form(*window: int) -> onnx.ModelProto:
    """A row by a matrix at each position, the batch first: weights broadcast over it."""
    net = Net()
    x, oh, ow = unfold(net, *window)
    x = net.add("Unsqueeze", net.add("Transpose", x, perm=[0, 2, 1]), net.constant(np.array([2])))
    y = net.add("MatMul", x, net.constant(weights(1, oh * ow, C * window[0] ** 2, M)))
    return net.model(net.add("Add", y, net.constant(weights(M))))


def einsum_form(*window: int) -> onnx.ModelProto:
    net = Net()
    x, oh, ow = unfold(net, *window)
    y = net.add("Einsum", net.constant(weights(M, C * window[0] ** 2, oh * ow)), x, equation="mkl,nkl->nml")
    y = net.add("Reshape", y, net.constant(np.array([N, M, oh, ow])))
    return net.model(net.add("Add", net.constant(weights(1, M, 1, 1)), y))


def sum_form(kernel: int, stride: int, dilation: int, pad: int) -> onnx.ModelProto:
    """Tensor.unfold twice: slices of rows, joined, slices of columns, joined; a product and a sum."""
    net = Net()
    x = net.add("Pad", "x", net.constant(np.array([0, 0, pad, pad, 0, 0, pad, pad])), net.constant(np.float32(0)))
    for axis, size in ((2, H), (3, W)):
        starts = indices(size, kernel, stride, dilation, pad)
        slices = [net.add("Slice", x, *(net.constant(np.array([v])) for v in (at[0], at[-1] + 1, axis, dilation))) for at in starts.T]
        perm = [0, 1, *(a for a in range(2, 4 + (axis == 3)) if a != axis), axis]
        parts = [net.add("Transpose", net.add("Unsqueeze", s, net.constant(np.array([axis]))),
                         perm=[p + (p >= axis) if p != axis else axis + 1 for p in perm[:2]] + _behind(axis)) for s in slices]
        x = net.add("Concat", *parts, axis=axis)
    oh, ow = indices(H, kernel, stride, dilation, pad).shape[1], indices(W, kernel, stride, dilation, pad).shape[1]
    x = net.add("Reshape", x, net.constant(np.array([N, 1, C, oh, ow, kernel * kernel])))
    product = net.add("Mul", x, net.constant(weights(1, M, C, oh, ow, kernel * kernel)))
    return net.model(net.add("ReduceSum", product, net.constant(np.array([2, -1])), keepdims=0))


def _behind(axis: int) -> list[int]:
    """(N, C, 1, k, W) as (N, C, 1, W, k), then (N, C, H', 1, k', k) as (N, C, H', 1, k, k')."""
    return [2, 4, 3] if axis == 2 else [2, 3, 5, 4]


def keras_form(kernel: int, stride: int, dilation: int, pad: int) -> onnx.ModelProto:
    """LocallyConnected2D: (N, H, W, C), a slice for every position, batch_dot with the positions first; neither padding nor dilation."""
    net = Net()
    oh, ow = ((size - kernel) // stride + 1 for size in (H, W))
    slices = [net.add("Slice", "x", net.constant(np.array([i * stride, j * stride])),
                      net.constant(np.array([i * stride + kernel, j * stride + kernel])), net.constant(np.array([1, 2])))
              for i in range(oh) for j in range(ow)]
    rows = net.add("Concat", *(net.add("Reshape", s, net.constant(np.array([1, N, -1]))) for s in slices), axis=0)
    y = net.add("MatMul", rows, net.constant(weights(oh * ow, kernel * kernel * C, M)))
    y = net.add("Reshape", y, net.constant(np.array([oh, ow, N, M])))
    return net.model(net.add("Transpose", y, perm=[2, 0, 1, 3]), (N, H, W, C))


def outputs(model: onnx.ModelProto) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = {"x": weights(*shape)}
    want = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, x)[0]
    with fastcnn.load(model) as loaded:
        got = loaded.run(None, x)[0]
        assert loaded.fallback_nodes == []
    return got, want, x


@pytest.mark.parametrize("form", [matmul_form, rows_form, einsum_form, sum_form, keras_form])
@pytest.mark.parametrize("window", [(3, 1, 1, 0), (2, 2, 1, 0), (3, 1, 1, 1), (3, 2, 1, 1), (2, 1, 2, 1)], ids=str)
def test_unshared_convolution_is_one_node(form, window):
    if form is keras_form and window[2:] != (1, 0):
        pytest.skip("Keras has neither")
    model = form(*window)
    got, want, x = outputs(model)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    graph = run_passes(read(model))
    kinds = [n.op_type for n in graph.nodes]
    assert kinds.count("LocallyConnected") == 1 and not {"MatMul", "Einsum", "ReduceSum", "Gather", "Concat"} & set(kinds), kinds
    np.testing.assert_allclose(evaluate_graph(graph, x)[graph.outputs[0].name], want, rtol=1e-4, atol=1e-4)


def test_bias_and_activation_go_into_the_node():
    graph = run_passes(read(matmul_form(3, 1, 1, 1)))
    assert [n.op_type for n in graph.nodes] == ["LocallyConnected"] and graph.nodes[0].activation.name == "Relu"


def shared_weights() -> onnx.ModelProto:
    net = Net()
    x, _, _ = unfold(net, 3, 1, 1, 0)
    return net.model(net.add("MatMul", net.constant(weights(1, M, C * 9)), x))


def uneven_windows() -> onnx.ModelProto:
    net = Net()
    x = net.add("Gather", net.add("Gather", "x", net.constant(np.array([[0, 1, 3], [1, 2, 5]])), axis=2),
                net.constant(np.array([[0, 1], [1, 2]])), axis=4)
    x = net.add("Reshape", net.add("Transpose", x, perm=[3, 5, 0, 1, 2, 4]), net.constant(np.array([6, N, C * 4])))
    return net.model(net.add("MatMul", x, net.constant(weights(6, C * 4, M))))


def reflected() -> onnx.ModelProto:
    net = Net()
    x = net.add("Pad", "x", net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode="reflect")
    x = net.add("Gather", net.add("Gather", x, net.constant(indices(H, 3, 1, 1, 1)), axis=2), net.constant(indices(W, 3, 1, 1, 1)), axis=4)
    x = net.add("Reshape", net.add("Transpose", x, perm=[3, 5, 0, 1, 2, 4]), net.constant(np.array([H * W, N, C * 9])))
    return net.model(net.add("MatMul", x, net.constant(weights(H * W, C * 9, M))))


@pytest.mark.parametrize("form, found", [(shared_weights, False), (uneven_windows, False), (reflected, True)])
def test_what_is_not_one_is_left_alone(form, found):
    """A Pad that mirrors is the source of the windows; shared weights and windows at uneven distances are none of it."""
    got, want, _ = outputs(form())
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    assert ("LocallyConnected" in [n.op_type for n in run_passes(read(form())).nodes]) == found
