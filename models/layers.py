"""Layers that several families share, written with a `Writer`."""
from __future__ import annotations

from math import prod

from onnx import helper, shape_inference

from models.writer import Extent, Writer

STEERING_ELEMENTS = 16  # initializers up to this size may steer shape inference (Reshape targets, pads, scales)


def extents(net: Writer, x: str) -> tuple[int, int]:
    """(H, W) of x, by ONNX shape inference over the nodes written so far."""
    kept = [t for t in net.graph.initializer if t.raw_data and prod(t.dims) <= STEERING_ELEMENTS]
    declared = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in net.graph.initializer
                if not t.raw_data or prod(t.dims) > STEERING_ELEMENTS]
    graph = helper.make_graph(net.graph.node, "so_far", [*net.graph.input, *declared], [], kept)
    light = helper.make_model(graph, opset_imports=net.model.opset_import, ir_version=net.model.ir_version)
    inferred = shape_inference.infer_shapes(light, strict_mode=True).graph
    height, width = next(value.type.tensor_type.shape.dim[2:4] for value in (*inferred.input, *inferred.value_info) if value.name == x)
    return height.dim_value, width.dim_value


def flatten_maps(net: Writer, x: str) -> str:
    """(N, C, H, W) -> (N, C * H * W)."""
    return net.flatten(x, net.channels[x] * prod(extents(net, x)))


def conv_bn(net: Writer, conv: str, bn: str, x: str, oc: int, kernel: Extent, *, stride: Extent = 1, pad: Extent = 0, group: int = 1,
            scale: float = 1.0, eps: float = 1e-5, gain: float = 2.0) -> str:
    """y = batch_norm(conv(x)), the convolution without bias."""
    y = net.conv(conv, x, oc, kernel, stride=stride, pad=pad, group=group, bias=False, gain=gain)
    return net.batch_norm(bn, y, scale=scale, eps=eps)


def average(net: Writer, x: str, kernel: int, stride: int, pad: int, *, count_include_pad: bool) -> str:
    """y = mean over kernel x kernel windows; zeros around the image count, or not."""
    return net.node("AveragePool", [x], net.channels[x], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
                    count_include_pad=int(count_include_pad))


def alexnet_lrn(net: Writer, x: str) -> str:
    """Local response normalisation of Krizhevsky et al. 2012: k = 2, n = 5, alpha = 1e-4, beta = 0.75; ONNX divides alpha by n."""
    return net.lrn(x, size=5, alpha=5e-4, beta=0.75, k=2.0)


def mul(net: Writer, a: str, b: str) -> str:
    """y = a * b; the channels are those of a."""
    return net.node("Mul", [a, b], net.channels[a])


def silu(net: Writer, x: str) -> str:
    """y = x * sigmoid(x) (Elfwing et al. 2018, Swish in Ramachandran et al. 2018)."""
    return mul(net, x, net.sigmoid(x))


def hard_sigmoid(net: Writer, x: str) -> str:
    """y = min(max(x / 6 + 1 / 2, 0), 1)."""
    return net.node("HardSigmoid", [x], net.channels[x], alpha=1 / 6, beta=0.5)


def hard_swish(net: Writer, x: str) -> str:
    """y = x * hard_sigmoid(x) (Howard et al. 2019); ONNX has it from opset 14."""
    return net.node("HardSwish", [x], net.channels[x])


def classifier(net: Writer, name: str, x: str, classes: int = 1000) -> str:
    """(N, C, H, W) -> (N, classes) logits: mean over the image, one linear layer."""
    return net.gemm(name, net.flatten(net.global_avg_pool(x)), classes, gain=1.0)
