"""BatchNormalization, InstanceNormalization, GroupNormalization, LayerNormalization, RMSNormalization and LRN."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import Strides, Tensor, is_dense, strides_like, walk
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import epilogue, vector_of
from fastcnn.ops.elementwise.elementwise import emit_binary
from fastcnn.ops.image import image_fields, is_image, read_image, write_image
from fastcnn.ops.layout import DTYPE_CODES, movable

F64 = np.dtype(np.float64)
LEAST_PLANE = 16        # pixels of a plane that are worth a call of the kernels that scale it


class BatchNormalization(Op):
    """y = (x - mean[c]) / sqrt(var[c] + epsilon) * scale[c] + bias[c], as one multiply-add. ONNX 7 to 15.

    x: (N, C, ...) float32 of any rank from 2 up, where it lies; the parameters are constants. In training (float64 too) mean and var are
    the batch's own, and there are two more outputs: input_mean * momentum + mean * (1 - momentum), and the variance likewise.
    """

    def native(self, args: Args) -> bool:
        attrs, outputs = args.node.attrs, [name for name in args.node.outputs if name]
        if attrs.get("training_mode", 0):
            x, kinds = args.spec(0), {args.spec(i).dtype for i in range(5)}
            return kinds in ({F32}, {F64}) and movable(x) and x.rank >= 2 and x.size > 0
        return (super().native(args) and args.spec(0).rank >= 2 and len(outputs) == 1 and attrs.get("spatial", 1) == 1
                and all(value is not None for value in args.values[1:5]))

    def lower(self, low: Lowering) -> None:
        x = low.read(0)
        if low.node.attrs.get("training_mode", 0):
            x, scales, shifts = _batch_statistics(low, x)
        else:
            epsilon = low.node.attrs.get("epsilon", 1e-5)
            factors, offsets = batch_factors(low.args.values[1:5], epsilon)
            key = ("batch norm", *low.node.inputs[1:5], epsilon)
            scales = low.packed((*key, "scale"), lambda: factors.astype(F32))
            shifts = low.packed((*key, "shift"), lambda: offsets.astype(F32))
        y = low.write(0, strides_like(x.shape, x.strides))
        by_channel = (0, 1, *[0] * (len(x.shape) - 2))
        if x.dtype != F32:
            for source, values, function in ((x, scales, "Mul"), (y, shifts, "Add")):
                emit_binary(low, y, source, Tensor(values.buffer, x.shape, by_channel, values.offset), function)
            return
        shape, (y_strides, x_strides, p_strides) = walk(x.shape, y.strides, x.strides, by_channel)
        low.emit("scale_shift", [y, x, scales, shifts], x.size, ndim=len(shape), shape=shape, y_strides=y_strides,
                 x_strides=x_strides, p_strides=p_strides, **epilogue(low.node.activation))


def batch_factors(parameters: Sequence[np.ndarray | None], epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """(scale, shift) a channel in float64 from scale, bias, mean and variance: y = scale * x + shift."""
    scale, bias, mean, variance = (np.asarray(v, np.float64) for v in parameters)
    factor = scale / np.sqrt(variance + epsilon)
    return factor, bias - mean * factor


def _batch_statistics(low: Lowering, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, and scale and shift a channel by the batch's own mean and variance; the running ones go to outputs 1 and 2."""
    planes = _planes(x)
    if planes is None:
        x = low.read(0, "dense")
        planes = _planes(x)
        assert planes is not None
    (n, c, pixels), (image, channel, pixel) = planes
    scale, shift = (low.temp((c,), x.dtype) for _ in range(2))
    running = [low.write(i, "dense") if any(low.node.outputs[i:i + 1]) else None for i in (1, 2)]
    low.emit("batch_norm", [scale, shift, *running, x, *(low.read(i, "dense") for i in range(1, 5))], 2 * x.size, n=n, c=c, pixels=pixels,
             x_image=image, x_channel=channel, x_pixel=pixel, dtype=DTYPE_CODES[x.dtype],
             epsilon=low.node.attrs.get("epsilon", 1e-5), momentum=low.node.attrs.get("momentum", 0.9))
    return x, scale, shift


def _planes(x: Tensor) -> tuple[tuple[int, ...], Strides] | None:
    """Extents and strides (image, channel, pixel) of x, pixels or channels next to each other; one image where pixels are evenly spaced."""
    n, c, *spatial = x.shape
    pixels = math.prod(spatial)
    for view, shape in ((x.transpose((1, 0, *range(2, len(x.shape)))), (1, c, n * pixels)), (x, (n, c, pixels))):
        flat = view.reshape(shape)
        if flat is None:
            continue
        image, channel, pixel = flat.strides
        pixel = 1 if shape[2] == 1 else pixel
        if pixel == 1 or channel == 1 or c == 1:
            return shape, (image, channel, pixel)
    return None


class InstanceNormalization(Op):
    """y[n,c] = (x[n,c] - mean) / sqrt(var + epsilon) * scale[c] + bias[c], mean and var over its pixels. ONNX 6, 22."""

    def native(self, args: Args) -> bool:
        return super().native(args) and is_image(args.spec(0), (3, 4, 5))

    def lower(self, low: Lowering) -> None:
        channels = low.args.spec(0).shape[1]
        emit_group_norm(low, 1, vector_of(low, 1, channels), vector_of(low, 2, channels))


class GroupNormalization(Op):
    """InstanceNormalization with mean and var over C / num_groups channels.

    Scale and bias per channel (ONNX 21) or, constant, per group (18).
    """

    def native(self, args: Args) -> bool:
        known = args.node.version >= 21 or all(value is not None for value in args.values[1:3])
        return super().native(args) and is_image(args.spec(0), (3, 4, 5)) and known

    def lower(self, low: Lowering) -> None:
        channels, groups = low.args.spec(0).shape[1], low.node.attrs["num_groups"]
        vector = vector_of if low.node.version >= 21 else _vector_by_group
        emit_group_norm(low, channels // groups, vector(low, 1, channels), vector(low, 2, channels))


def _vector_by_group(low: Lowering, i: int, channels: int) -> Tensor:
    """Constant input i, one value a group, repeated for its channels."""
    values = np.asarray(low.args.values[i], F32)
    return low.packed(("by channel", low.node.input(i), channels), lambda: np.repeat(values, channels // values.size))


def emit_group_norm(low: Lowering, group: int, scale: Tensor | None, bias: Tensor | None) -> None:
    """The step for statistics over `group` channels of an image: where x lies row-major, over its planes, else over its pixels."""
    x = low.read(0)
    if is_dense(x.shape, x.strides) and math.prod(x.shape[2:]) >= LEAST_PLANE and scale is not None and bias is not None:
        _emit_planes(low, x, group, scale, bias)
        return
    flat = low.args.spec(0).rank != 4
    x, y = read_image(low, 0, flat), write_image(low, flat)
    low.emit("group_norm", [y, x, scale, bias], 4 * x.size, group=group, epsilon=low.node.attrs.get("epsilon", 1e-5),
             **image_fields(y, x), **epilogue(low.node.activation))


def _emit_planes(low: Lowering, x: Tensor, group: int, scale: Tensor, bias: Tensor) -> None:
    """Row-major in and out: the planes of a group are one row, normalised as such, then scaled a plane at a time."""
    y, (n, c, *spatial) = low.write(0, "dense"), x.shape
    pixels = math.prod(spatial)
    run = group * pixels
    to = y if is_dense(y.shape, y.strides) else low.temp(y.shape)
    low.emit("layer_norm", [to, x, scale, bias], 4 * x.size, ndim=1, shape=(n * c // group,), y_strides=(run,), x_strides=(run,), axis=run,
             rms=0, epsilon=low.node.attrs.get("epsilon", 1e-5), plane=pixels, planes=c)
    if to is not y or low.node.activation is not None:
        shape, (y_strides, x_strides) = walk(y.shape, y.strides, to.strides)
        low.emit("unary", [y, to], y.size, ndim=len(shape), shape=shape, y_strides=y_strides, x_strides=x_strides,
                 **epilogue(low.node.activation))


class LayerNormalization(Op):
    """y = (x - mean) / sqrt(var + epsilon) * scale + bias over the axes from `axis` on; RMSNormalization leaves out the mean.

    x: float32 of any rank; scale and bias broadcast to those axes. ONNX LayerNormalization-17, RMSNormalization-23. The
    outputs Mean and InvStdDev are made by passes/standardise/plain_forms.py, in float32.
    """

    def __init__(self, rms: bool = False):
        self.rms = rms

    def native(self, args: Args) -> bool:
        outputs = [name for name in args.node.outputs if name]
        if not super().native(args) or len(outputs) != 1 or args.spec(0).size == 0:
            return False
        shape = args.spec(0).shape[_axis(args):]
        return all(spec is None or value is not None or spec.size == math.prod(shape)
                   for spec, value in zip(args.specs[1:], args.values[1:]))

    def lower(self, low: Lowering) -> None:
        axis = _axis(low.args)
        x = low.read(0, "rows" if axis == low.args.spec(0).rank - 1 else "dense")
        y = low.write(0, strides_like(x.shape, x.strides))
        if axis != len(x.shape) - 1 or (y.strides[-1] != 1 and y.shape[-1] != 1):
            x, y = low.read(0, "dense"), low.write(0, "dense")
        inner = x.shape[axis:]
        shape, (y_strides, x_strides) = walk(x.shape[:axis], y.strides[:axis], x.strides[:axis])
        low.emit("layer_norm", [y, x, _spread(low, 1, inner), _spread(low, 2, inner)], 4 * x.size, ndim=len(shape),
                 shape=shape, y_strides=y_strides, x_strides=x_strides, axis=math.prod(inner), rms=int(self.rms),
                 epsilon=low.node.attrs.get("epsilon", 1e-5), plane=0, planes=0)


def _axis(args: Args) -> int:
    axis = args.node.attrs.get("axis", -1)
    return axis + args.spec(0).rank if axis < 0 else axis


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether ONNX's unidirectional rule takes shape to target."""
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(shape[::-1], target[::-1]))


def _spread(low: Lowering, i: int, shape: tuple[int, ...]) -> Tensor | None:
    """Input i as prod(shape) floats, None when omitted."""
    if not low.args.has(i):
        return None
    value = low.args.values[i]
    if value is None:
        return low.read(i, "dense")
    return low.packed(("spread", low.node.input(i), shape),
                      lambda: np.ascontiguousarray(np.broadcast_to(value, shape), F32).ravel())


class Lrn(Op):
    """y[c] = x[c] / (bias + alpha / size * sum x[k]^2)^beta, k from c - (size - 1) // 2 to c + size // 2. ONNX LRN-1, 13."""

    def native(self, args: Args) -> bool:
        return super().native(args) and is_image(args.spec(0), (3, 4, 5))

    def lower(self, low: Lowering) -> None:
        attrs, flat = low.node.attrs, low.args.spec(0).rank != 4
        x, y = read_image(low, 0, flat), write_image(low, flat)
        low.emit("lrn", [y, x], x.size * (attrs["size"] + 16), size=attrs["size"], alpha=attrs.get("alpha", 1e-4),
                 beta=attrs.get("beta", 0.75), bias=attrs.get("bias", 1.0), **image_fields(y, x))


OPERATORS: dict[str, Op] = {
    "BatchNormalization": BatchNormalization(),
    "InstanceNormalization": InstanceNormalization(),
    "GroupNormalization": GroupNormalization(),
    "LayerNormalization": LayerNormalization(),
    "RMSNormalization": LayerNormalization(rms=True),
    "LRN": Lrn(),
}
