"""Operators onnx.reference gets wrong or lacks at some opset, each with the reason it is here.

A function takes (node, inputs) and returns the outputs, or None to leave the case to onnx.reference. A rewrite returns
the node as onnx.reference understands it. Checked against onnxruntime 1.31 by tests/test_reference_operators.py; onnx 1.23.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node
from fastcnn.reference.bytes import qlinear_conv, qlinear_matmul
from fastcnn.reference.conv import average_pool, conv, conv_transpose, global_max_pool, lp_pool, max_pool, max_unpool, wide
from fastcnn.reference.resize import resize
from fastcnn.reference.rnn import gru, lstm

Inputs = Sequence[Any]
Override = Callable[[Node, Inputs], "list[np.ndarray] | None"]


def _flat_softmax(node: Node, inputs: Inputs, finish: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray] | None:
    if node.version >= 13 or not inputs[0].size:
        return None
    x, axis = inputs[0], node.attrs.get("axis", 1)
    rows = wide(x).reshape(math.prod(x.shape[:axis]), -1)
    return [finish(rows - rows.max(1, keepdims=True)).reshape(x.shape).astype(x.dtype)]


def softmax(node: Node, inputs: Inputs) -> list[np.ndarray] | None:
    """exp(x) / sum(exp(x)) over all axes from `axis` on (before opset 13)."""
    def finish(shifted: np.ndarray) -> np.ndarray:
        e = np.exp(shifted)
        return e / e.sum(1, keepdims=True)
    return _flat_softmax(node, inputs, finish)


def log_softmax(node: Node, inputs: Inputs) -> list[np.ndarray] | None:
    """x - log(sum(exp(x))) over all axes from `axis` on (before opset 13)."""
    return _flat_softmax(node, inputs, lambda shifted: shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def hardmax(node: Node, inputs: Inputs) -> list[np.ndarray] | None:
    """1 at the first largest element over all axes from `axis` on (before opset 13)."""
    return _flat_softmax(node, inputs, lambda rows: np.eye(rows.shape[1])[rows.argmax(1)])


def batch_normalization(node: Node, inputs: Inputs) -> list[np.ndarray] | None:
    """scale * (x - mean) / sqrt(var + epsilon) + bias (before opset 14, which has training_mode).

    Where statistics are outputs, mean and var are the batch's own: outputs 3 and 4; 1 and 2 are what they make of inputs 3 and 4.
    """
    if node.version >= 14:
        return None
    x = wide(inputs[0])
    shape = (-1, *[1] * (x.ndim - 2))
    scale, bias, mean, var = (wide(v) for v in inputs[1:5])
    statistics = []
    if any(node.outputs[1:]):
        momentum, axes = np.float32(node.attrs.get("momentum", 0.9)), (0, *range(2, x.ndim))
        own = x.mean(axes), x.var(axes)
        statistics = [old * momentum + new * (1 - momentum) for old, new in zip((mean, var), own)] + [*own]
        mean, var = own
    y = scale.reshape(shape) * (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + np.float32(node.attrs.get("epsilon", 1e-5)))
    return [v.astype(inputs[0].dtype) for v in (y + bias.reshape(shape), *statistics)][:len(node.outputs)]


def dropout(node: Node, inputs: Inputs) -> list[np.ndarray] | None:
    """x; the mask is zeros as onnxruntime's (before opset 12, which has training_mode)."""
    if node.version >= 12:
        return None
    return [inputs[0], np.zeros(inputs[0].shape, np.bool_ if node.version >= 10 else inputs[0].dtype)][
        : len(node.outputs)
    ]


def dequantize_linear(node: Node, inputs: Inputs) -> list[np.ndarray] | None:
    """(x - zero_point) * scale, for all or along `axis` (before opset 19)."""
    if node.version >= 19:
        return None
    x, scale, zero = (*inputs, None)[:3]
    axis = node.attrs.get("axis", 1)
    shape = [1] * x.ndim
    if scale.size > 1:
        shape[axis] = scale.size
    whole = x.astype(np.int64) - (
        0 if zero is None else zero.astype(np.int64).reshape(shape if zero.size > 1 else [1] * x.ndim)
    )
    return [(whole * scale.astype(np.float64).reshape(shape if scale.size > 1 else [1] * x.ndim)).astype(scale.dtype)]


def quantize_linear(node: Node, inputs: Inputs) -> list[np.ndarray] | None:
    """saturate(round(x / scale) + zero_point) as bytes, for all or along `axis`, from float32."""
    x, scale, zero = (*inputs, None)[:3]
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    plain = not any(node.attrs.get(name, 0) for name in ("block_size", "output_dtype", "precision")) and scale.ndim <= 1
    if not plain or dtype not in (np.uint8, np.int8) or x.dtype != np.float32 or scale.dtype != np.float32:
        return None
    shape = [1] * x.ndim
    if scale.size > 1:
        shape[node.attrs.get("axis", 1)] = scale.size
    whole = np.rint(x / scale.reshape(shape))
    if zero is not None:
        whole += zero.astype(np.float32).reshape(shape if zero.size > 1 else [1] * x.ndim)
    limits = np.iinfo(dtype)
    return [np.clip(whole, limits.min, limits.max).astype(dtype)]


def pad(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x with elements added, or cut where pads are negative, before and after each axis."""
    x = inputs[0]
    if node.version < 11:
        pads, value, axes = node.attrs["pads"], node.attrs.get("value", 0.0), None
    else:
        pads, value, axes = (*inputs[1:], None, None)[:3]
        pads, axes = np.ravel(pads), None if axes is None else np.ravel(axes)
        value = 0 if value is None or not value.size else value.reshape(())
    axes = range(x.ndim) if axes is None else [int(a) % x.ndim for a in axes]
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        widths[axis] = (int(pads[i]), int(pads[i + len(pads) // 2]))
    x = x[tuple(slice(max(0, -b), size - max(0, -a)) for (b, a), size in zip(widths, x.shape))]
    grown = [(max(0, b), max(0, a)) for b, a in widths]
    mode = node.attrs.get("mode", "constant")
    return [np.pad(x, grown, constant_values=value) if mode == "constant" else np.pad(x, grown, mode)]


def lrn(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x / (bias + alpha/size * sum of squares over `size` channels around) ** beta."""
    x, size = wide(inputs[0]), node.attrs["size"]
    before, after = (size - 1) // 2, size // 2
    squares = np.pad(x.astype(np.float64) ** 2, [(0, 0), (before, after)] + [(0, 0)] * (x.ndim - 2))
    total = sum(squares[:, i:i + x.shape[1]] for i in range(size))
    scale = node.attrs.get("bias", 1.0) + node.attrs.get("alpha", 1e-4) / size * total
    return [(x / scale ** node.attrs.get("beta", 0.75)).astype(inputs[0].dtype)]


def lp_normalization(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """x / (sum |x|^p)^(1/p) along `axis`, zero where the norm is."""
    x, p = inputs[0].astype(np.float64), node.attrs.get("p", 2)
    norm = (np.abs(x) ** p).sum(node.attrs.get("axis", -1), keepdims=True) ** (1 / p)
    return [np.divide(x, norm, out=np.zeros_like(x), where=norm != 0).astype(inputs[0].dtype)]


def gather_elements(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """y = data at the same place, but for the index along `axis`; indices may cover less of the other axes than data does."""
    data, indices = inputs
    axis = node.attrs.get("axis", 0) % data.ndim
    covered = data[tuple(slice(None) if k == axis else slice(n) for k, n in enumerate(indices.shape))]
    return [np.take_along_axis(covered, indices, axis)]


def global_lp_pool(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(sum |x|^p)^(1/p) over the spatial axes."""
    x, p = inputs[0], node.attrs.get("p", 2)
    powers = np.abs(x.astype(np.float64)) ** p
    return [(powers.sum(tuple(range(2, x.ndim)), keepdims=True) ** (1 / p)).astype(x.dtype)]


def one_hot(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """values[1] where the new axis counts to the index, values[0] elsewhere; indices out of range match nothing."""
    indices, depth, values = inputs
    depth, axis = int(np.reshape(depth, ())), node.attrs.get("axis", -1) % (indices.ndim + 1)
    wrapped = np.where(indices < 0, indices + depth, indices)
    hot = np.expand_dims(wrapped, axis) == np.arange(depth).reshape(-1, *[1] * (indices.ndim - axis))
    return [np.where(hot, values[1], values[0]).astype(values.dtype)]


def max_roi_pool(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """Largest element of each of pooled_shape bins of each region (batch index, x1, y1, x2, y2), empty bins zero."""
    x, rois = inputs
    ph, pw = node.attrs["pooled_shape"]
    y = np.zeros((len(rois), x.shape[1], ph, pw), x.dtype)
    for r, (batch, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (math.floor(v * node.attrs.get("spatial_scale", 1.0) + 0.5) for v in corners)
        rows, columns = _bins(y1, y2, ph, x.shape[2]), _bins(x1, x2, pw, x.shape[3])
        for i, (top, bottom) in enumerate(rows):
            for j, (left, right) in enumerate(columns):
                if bottom > top and right > left:
                    y[r, :, i, j] = x[int(batch), :, top:bottom, left:right].max((1, 2))
    return [y]


def _bins(first: int, last: int, count: int, limit: int) -> list[tuple[int, int]]:
    extent = max(last - first + 1, 1) / count
    return [
        (min(max(math.floor(i * extent) + first, 0), limit), min(max(math.ceil((i + 1) * extent) + first, 0), limit))
        for i in range(count)
    ]


def non_max_suppression(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """(batch, class, box) of boxes by falling score, without those that overlap a kept one of their class too far."""
    boxes, scores, limit, overlap, least = (*inputs, None, None, None)[:5]
    count = 0 if limit is None else int(np.reshape(limit, -1)[0])
    threshold = 0.0 if overlap is None else float(np.reshape(overlap, -1)[0])
    kept: list[tuple[int, int, int]] = []
    for batch, image in enumerate(boxes.astype(np.float64)):
        corners = _corners(image, node.attrs.get("center_point_box", 0))
        for label, row in enumerate(scores[batch]):
            order = np.argsort(-row, kind="stable")
            if least is not None:
                order = order[row[order] > np.reshape(least, -1)[0]]
            chosen: list[int] = []
            for box in order:
                if len(chosen) == count:
                    break
                if not chosen or (_overlaps(corners[box], corners[chosen]) <= threshold).all():
                    chosen.append(int(box))
            kept += [(batch, label, box) for box in chosen]
    return [np.array(kept, np.int64).reshape(-1, 3)]


def _corners(boxes: np.ndarray, centred: int) -> np.ndarray:
    """(low, low, high, high) of boxes given by two opposite corners or by centre and size."""
    if centred:
        return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    return np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with others."""
    sides = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None)
    shared = sides.prod(1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def running(function: Callable[..., np.ndarray], start: int) -> Override:
    """y[i] = sum or product of x[0..i] along the axis; exclusive: without x[i]; reverse: from the end."""
    def apply(node: Node, inputs: Inputs) -> list[np.ndarray]:
        x, axis = inputs[0], int(np.reshape(inputs[1], ()))
        x = np.flip(x, axis) if node.attrs.get("reverse", 0) else x
        y = function(x, axis=axis, dtype=x.dtype)
        if node.attrs.get("exclusive", 0):
            y = np.roll(y, 1, axis)
            y[(slice(None),) * (axis % x.ndim) + (slice(1),)] = start
        return [np.flip(y, axis) if node.attrs.get("reverse", 0) else y]
    return apply


def trilu(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The upper or lower triangles of matrices, from diagonal k on."""
    x, k = inputs[0], int(np.ravel(inputs[1])[0]) if len(inputs) > 1 and inputs[1] is not None else 0
    cut = np.triu if node.attrs.get("upper", 1) else np.tril
    return [cut(x, min(max(k, -x.shape[-2]), x.shape[-1]))]


def scatter_elements(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """A copy of x with updates[j] stored, added... at index[j] along `axis`, at j along the others."""
    x, index, updates = inputs
    y, axis = x.copy(), node.attrs.get("axis", 0) % x.ndim
    places = list(np.indices(index.shape, sparse=True))
    places[axis] = np.where(index < 0, index + x.shape[axis], index)
    reduction = node.attrs.get("reduction", "none")
    if reduction == "none":
        y[tuple(places)] = updates
    else:
        REDUCTIONS[reduction].at(y, tuple(places), updates)
    return [y]


REDUCTIONS = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


def reverse_sequence(node: Node, inputs: Inputs) -> list[np.ndarray]:
    """The first lengths[b] elements along time_axis in reverse, for each b of batch_axis."""
    x, lengths = inputs
    batch, time = node.attrs.get("batch_axis", 1), node.attrs.get("time_axis", 0)
    along = np.arange(x.shape[time]).reshape(-1, *[1] * (x.ndim - 1 - time))
    last = np.reshape(lengths, (-1, *[1] * (x.ndim - 1 - batch)))
    return [np.take_along_axis(x, np.where(along < last, last - 1 - along, along), time)]


# Operator -> numpy. The comment is what onnx.reference does instead.
OVERRIDES: dict[str, Override] = {
    "AveragePool": average_pool,                    # minutes: loops over elements
    "BatchNormalization": batch_normalization,      # before opset 14: fails, or normalises by the batch instead of by mean and var
    "Conv": conv,                                   # 20 times slower
    "ConvTranspose": conv_transpose,                # fails for group > 1; sizes of auto_pad=SAME_*
    "CumProd": running(np.cumprod, 1),              # fails for an axis of shape [1]
    "CumSum": running(np.cumsum, 0),
    "DequantizeLinear": dequantize_linear,          # none before opset 19
    "Dropout": dropout,                             # before opset 12: drops
    "GRU": gru,                                     # ignores sequence_lens, clip, activations
    "GlobalLpPool": global_lp_pool,                 # none
    "GatherElements": gather_elements,              # minutes where many elements lie along the axis
    "Hardmax": hardmax,                             # before opset 13: one axis only
    "LRN": lrn,                                     # sums one channel less
    "LSTM": lstm,                                   # ignores sequence_lens, clip, activations, input_forget
    "LogSoftmax": log_softmax,                      # before opset 13: one axis only
    "LpNormalization": lp_normalization,            # p=1 without absolute values
    "LpPool": lp_pool,                              # minutes: loops over elements
    "GlobalMaxPool": global_max_pool,               # NaN as in MaxPool
    "MaxPool": max_pool,                            # fails on padded integers; SAME_LOWER sizes; storage_order=1
    "MaxRoiPool": max_roi_pool,                     # none
    "MaxUnpool": max_unpool,                        # fails behind a MaxPool whose windows leave rows out
    "NonMaxSuppression": non_max_suppression,       # fails without its optional inputs
    "OneHot": one_hot,                              # fails for depth of shape [1]
    "Pad": pad,                                     # fails for negative pads
    "QLinearConv": qlinear_conv,                    # adds the zero point before it rounds
    "QLinearMatMul": qlinear_matmul,                # the same; before onnx 1.21 wraps instead of saturating
    "QuantizeLinear": quantize_linear,              # wraps beyond 2^31; takes `import onnx` to fold weights
    "Resize": resize,                               # see resize.py
    "ReverseSequence": reverse_sequence,            # before onnx 1.21: fails for a length of 0
    "ScatterElements": scatter_elements,            # before onnx 1.21: some ranks and axes only
    "Softmax": softmax,                             # before opset 13: one axis only
    "Trilu": trilu,                                 # fails for a diagonal of -2^63
    "Upsample": resize,                             # nearest by whole numbers only
}


def _roi_align(node: Node) -> Node:
    if node.version >= 16:
        return node
    return node.but(attrs={**node.attrs, "coordinate_transformation_mode": "output_half_pixel"}, version=16)


def _grid_sample(node: Node) -> Node:
    names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = node.attrs.get("mode", "bilinear")
    return node.but(attrs={**node.attrs, "mode": names.get(mode, mode)}, version=max(node.version, 20))


def _scatter(node: Node) -> Node:
    return node.but(op_type="ScatterElements", version=max(node.version, 11))


# Operator -> the node onnx.reference computes rightly.
REWRITES: dict[str, Callable[[Node], Node]] = {
    "GridSample": _grid_sample,                     # knows the names of opset 20 only
    "RoiAlign": _roi_align,                         # before opset 16: shifts by half a pixel
    "Scatter": _scatter,                            # none under its old name
}
