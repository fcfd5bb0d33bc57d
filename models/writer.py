"""Writes a network node by node as an ONNX model; the weights come from a `Source`.

Weight names follow torch (`conv1.weight`, `bn1.running_mean`, ...), so the same function writes a network with seeded random weights
or with the state of a trained torch module.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

MIN_OPSET = 13  # Dropout, Clip and Softmax are written in the form they have had since opset 13

Shape = tuple[int, ...]
Dims = Sequence[int | str]
Extent = int | tuple[int, ...]  # one for every axis of an image, or one per axis (of an image or a video)
Source = Callable[[str, Shape, float, float], np.ndarray]  # (name, shape, centre, spread) -> float32


def random_source(seed: int) -> Source:
    """w ~ U(centre - spread, centre + spread), drawn in the order the writer asks."""
    rng = np.random.default_rng(seed)

    def draw(_name: str, shape: Shape, centre: float, spread: float) -> np.ndarray:
        w = rng.random(shape, dtype=np.float32)
        w *= np.float32(2 * spread)
        w += np.float32(centre - spread)
        return w

    return draw


def state_source(state: Mapping[str, np.ndarray]) -> Source:
    """w = state[name], as float32; a missing name or another shape is a ValueError that names the tensor."""

    def look_up(name: str, shape: Shape, _centre: float, _spread: float) -> np.ndarray:
        if name not in state:
            raise ValueError(f"weight {name!r} {shape} is not in the state")
        w = np.asarray(state[name], dtype=np.float32)
        if w.shape != shape:
            raise ValueError(f"weight {name!r} has shape {w.shape}, the network needs {shape}")
        return w

    return look_up


def he_spread(fan_in: int, gain: float) -> float:
    """sqrt(3 * gain / fan_in): the half width of the uniform law whose variance is gain / fan_in (He et al. 2015, gain 2 before ReLU)."""
    return float(np.sqrt(3.0 * gain / fan_in))


def per_axis(extent: Extent, axes: int = 2) -> list[int]:
    """The extent of each of `axes` axes."""
    return list(extent) if isinstance(extent, tuple) else [extent] * axes


class Writer:
    """A graph under construction.  Every method appends one node and returns the name of its output.

    Values are (N, C, H, W), (N, C, D, H, W), or (N, C) after `flatten`; the writer tracks C and leaves the other extents to ONNX
    shape inference.  Without a source, weights are declared with their shapes and hold nothing: enough to count them.
    """

    def __init__(self, name: str, source: Source | None, opset: int = 17) -> None:
        if opset < MIN_OPSET:
            raise ValueError(f"opset {opset} not supported (at least {MIN_OPSET})")
        opsets = [helper.make_opsetid("", opset)]
        self.source = source
        self.model = onnx.ModelProto(ir_version=helper.find_min_ir_version_for(opsets), opset_import=opsets,
                                     producer_name="fastcnn.models")
        self.graph = self.model.graph  # filled in place: VGG-19 is 575 MB, and every helper that takes a list copies it
        self.graph.name = name
        self.channels: dict[str, int] = {}
        self.initializers: set[str] = set()

    def input(self, name: str, shape: Dims) -> str:
        """Declares the float32 graph input; shape[1] is its channel count, a str is a symbolic extent."""
        self.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        self.channels[name] = int(shape[1])
        return name

    def output(self, value: str, name: str, shape: Dims, elem_type: int = TensorProto.FLOAT) -> None:
        """Declares `value` as a graph output under `name`; any node may have written it and others may read it."""
        self.graph.node.append(helper.make_node("Identity", [value], [name], name=name))
        self.graph.output.append(helper.make_tensor_value_info(name, elem_type, list(shape)))

    def finish(self, y: str, name: str, shape: Dims) -> onnx.ModelProto:
        """The model whose only output is y, renamed to `name`; y must come from the last node."""
        last = self.graph.node[-1]
        if last.output[0] != y:
            raise ValueError(f"output {y!r} is not the last node's ({last.output[0]!r})")
        last.output[0] = name
        self.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return self.model

    def conv(self, name: str, x: str, oc: int, kernel: Extent, *, stride: Extent = 1, pad: Extent = 0, dilation: Extent = 1,
             group: int = 1, bias: bool = True, gain: float = 2.0) -> str:
        """y = conv(x, w) + b.  w: (oc, ic / group, *kernel); a kernel of three extents is that of a video."""
        ic = self.channels[x] // group
        k = per_axis(kernel)
        pads = per_axis(pad, len(k))
        inputs = [x, self.weight(f"{name}.weight", (oc, ic, *k), 0.0, he_spread(ic * prod(k), gain))]
        if bias:
            inputs.append(self.weight(f"{name}.bias", (oc,), 0.0, 0.1))
        return self.node("Conv", inputs, oc, name, kernel_shape=k, strides=per_axis(stride, len(k)), pads=pads + pads,
                         dilations=per_axis(dilation, len(k)), group=group)

    def conv_transpose(self, name: str, x: str, oc: int, kernel: int, *, stride: int) -> str:
        """y = transposed conv(x, w) + b.  w: (ic, oc, kernel, kernel); each output sees ic * (kernel / stride)^2 products."""
        ic = self.channels[x]
        spread = he_spread(ic * max(1, kernel // stride) ** 2, 1.0)
        inputs = [x, self.weight(f"{name}.weight", (ic, oc, kernel, kernel), 0.0, spread),
                  self.weight(f"{name}.bias", (oc,), 0.0, 0.1)]
        return self.node("ConvTranspose", inputs, oc, name, kernel_shape=[kernel] * 2, strides=[stride] * 2)

    def batch_norm(self, name: str, x: str, *, scale: float = 1.0, eps: float = 1e-5) -> str:
        """y = weight * (x - mean) / sqrt(var + eps) + bias, weights around `scale`, statistics around 0 and 1."""
        c = self.channels[x]
        inputs = [x,
                  self.weight(f"{name}.weight", (c,), scale, 0.3 * scale),
                  self.weight(f"{name}.bias", (c,), 0.0, 0.2 * scale),
                  self.weight(f"{name}.running_mean", (c,), 0.0, 0.3),
                  self.weight(f"{name}.running_var", (c,), 1.0, 0.4)]
        return self.node("BatchNormalization", inputs, c, name, epsilon=eps)

    def gemm(self, name: str, x: str, features: int, *, gain: float = 2.0) -> str:
        """y = x w^T + b.  x: (N, k); w: (features, k)."""
        k = self.channels[x]
        inputs = [x, self.weight(f"{name}.weight", (features, k), 0.0, he_spread(k, gain)),
                  self.weight(f"{name}.bias", (features,), 0.0, 0.1)]
        return self.node("Gemm", inputs, features, name, transB=1)

    def relu(self, x: str) -> str:
        """y = max(x, 0)."""
        return self.node("Relu", [x], self.channels[x])

    def relu6(self, x: str) -> str:
        """y = min(max(x, 0), 6), written as Clip."""
        bounds = [self.constant("zero", np.float32(0)), self.constant("six", np.float32(6))]
        return self.node("Clip", [x, *bounds], self.channels[x])

    def clip01(self, x: str) -> str:
        """y = min(max(x, 0), 1)."""
        bounds = [self.constant("zero", np.float32(0)), self.constant("one", np.float32(1))]
        return self.node("Clip", [x, *bounds], self.channels[x])

    def tanh(self, x: str) -> str:
        """y = tanh(x)."""
        return self.node("Tanh", [x], self.channels[x])

    def sigmoid(self, x: str) -> str:
        """y = 1 / (1 + exp(-x))."""
        return self.node("Sigmoid", [x], self.channels[x])

    def softmax(self, x: str) -> str:
        """y = exp(x) / sum over channels of exp(x)."""
        return self.node("Softmax", [x], self.channels[x], axis=1)

    def lrn(self, x: str, *, size: int, alpha: float, beta: float, k: float) -> str:
        """y = x / (k + alpha / size * sum of x^2 over `size` channels)^beta (ONNX divides alpha by size, the papers do not)."""
        return self.node("LRN", [x], self.channels[x], size=size, alpha=alpha, beta=beta, bias=k)

    def max_pool(self, x: str, kernel: int, stride: int, *, pad: int = 0, ceil: bool = False) -> str:
        """y = max over kernel x kernel windows; ceil keeps the last partial window."""
        return self.node("MaxPool", [x], self.channels[x], kernel_shape=[kernel] * 2, strides=[stride] * 2,
                          pads=[pad] * 4, ceil_mode=int(ceil))

    def avg_pool(self, x: str, kernel: int, stride: int) -> str:
        """y = mean over kernel x kernel windows, without padding."""
        return self.node("AveragePool", [x], self.channels[x], kernel_shape=[kernel] * 2, strides=[stride] * 2)

    def global_avg_pool(self, x: str) -> str:
        """y[n,c,0,0] = mean of x[n,c,:,:]."""
        return self.node("GlobalAveragePool", [x], self.channels[x])

    def flatten(self, x: str, features: int | None = None) -> str:
        """(N, C, H, W) -> (N, features); features = C * H * W, C when not given (after a global pool)."""
        return self.node("Flatten", [x], features or self.channels[x], axis=1)

    def dropout(self, x: str, ratio: float) -> str:
        """y = x at inference; the node is kept because published files carry it."""
        return self.node("Dropout", [x, self.constant(f"ratio_{ratio}", np.float32(ratio))], self.channels[x])

    def add(self, a: str, b: str) -> str:
        """y = a + b."""
        return self.node("Add", [a, b], self.channels[a])

    def concat(self, xs: Sequence[str]) -> str:
        """y = xs side by side along channels."""
        return self.node("Concat", list(xs), sum(self.channels[x] for x in xs), axis=1)

    def depth_to_space(self, x: str, scale: int) -> str:
        """(N, C r^2, H, W) -> (N, C, r H, r W): y[n,c,ri+a,rj+b] = x[n, c r^2 + a r + b, i, j] (torch's PixelShuffle)."""
        return self.node("DepthToSpace", [x], self.channels[x] // scale**2, blocksize=scale, mode="CRD")

    def resize_linear(self, x: str, scale: int) -> str:
        """Bilinear enlargement with pixel centres (torch's align_corners=False)."""
        scales = self.constant(f"scales_{scale}", np.array([1, 1, scale, scale], np.float32))
        return self.node("Resize", [x, "", scales], self.channels[x], mode="linear", coordinate_transformation_mode="half_pixel")

    def resize_nearest(self, x: str, scale: int) -> str:
        """y[n,c,i,j] = x[n, c, i // scale, j // scale]."""
        scales = self.constant(f"scales_{scale}", np.array([1, 1, scale, scale], np.float32))
        return self.node("Resize", [x, "", scales], self.channels[x], mode="nearest",
                          coordinate_transformation_mode="asymmetric", nearest_mode="floor")

    def weight(self, name: str, shape: Shape, centre: float, spread: float) -> str:
        """A learnt tensor: drawn from around `centre`, or looked up in the state, or declared only."""
        if name in self.initializers:
            raise ValueError(f"weight {name!r} written twice")
        if self.source is None:
            self.graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=shape)
            self.initializers.add(name)
            return name
        return self._initializer(name, self.source(name, shape, centre, spread).astype("<f4", copy=False))

    def constant(self, name: str, value: Any) -> str:
        """A fixed tensor of any type; writing the same name again gives the first one."""
        return name if name in self.initializers else self._initializer(name, np.asarray(value))

    def ints(self, *values: int) -> str:
        """The int64 constant (len(values),): axes, shapes, bounds."""
        return self.constant("int_" + "_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """The float32 constant of rank 0."""
        return self.constant(f"float_{value}", np.float32(value))

    def extents(self) -> list[int]:
        """Extents of the graph input behind its channels: (H, W), or (D, H, W) of a video."""
        return [d.dim_value for d in self.graph.input[0].type.tensor_type.shape.dim[2:]]

    def _initializer(self, name: str, value: np.ndarray) -> str:
        self.graph.initializer.add(name=name, data_type=helper.np_dtype_to_tensor_dtype(value.dtype), dims=value.shape,
                                   raw_data=value.tobytes())
        self.initializers.add(name)
        return name

    def node(self, op: str, inputs: Sequence[str], channels: int = 0, name: str | None = None, **attributes: Any) -> str:
        """One node of any operator with one output, of `channels` channels."""
        return self.nodes(op, inputs, (channels,), name, **attributes)[0]

    def nodes(self, op: str, inputs: Sequence[str], channels: Sequence[int], name: str | None = None, **attributes: Any) -> list[str]:
        """One node of any operator with as many outputs as `channels`; they are `name`, `name`.1, ..."""
        name = name or f"{op.lower()}_{sum(n.op_type == op for n in self.graph.node)}"
        outputs = [name, *(f"{name}.{k}" for k in range(1, len(channels)))]
        self.graph.node.append(helper.make_node(op, list(inputs), outputs, name=name, **attributes))
        self.channels.update(zip(outputs, channels))
        return outputs
