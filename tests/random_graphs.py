"""Random small networks of what exporters write: seeded, in the forms of the opset they are in, with fixed or symbolic shapes.

`random_model(seed)` gives a model of some 3 to 12 operators and feeds for one size of its input, or for two where
its shapes are symbolic. A motif is a method that appends nodes: `MOTIFS` lists those for images (N, C, H, W) and those for values of any
rank with their frequencies.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from random_writer import ANY, MOST_ELEMENTS, Value, Writer

OPSETS = (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22)


@dataclass
class Case:
    """A model, feeds for it, and the seed that made it."""

    seed: int
    opset: int
    model: ModelProto
    feeds: list[dict[str, np.ndarray]]

    def __str__(self) -> str:
        kinds = " ".join(node.op_type for node in self.model.graph.node)
        shapes = [value.shape for value in self.feeds[0].values()]
        return f"random_model({self.seed}): opset {self.opset}, inputs {shapes}: {kinds}"


class ImageWriter(Writer):
    """Motifs for images."""

    def conv(self, x: Value, groups: int | None = None, outputs: int | None = None, kernel: tuple[int, int] | None = None) -> Value:
        n, c, h, w = x.shape
        group = groups or (int(self.pick(1, 1, 1, c, 2, 4)) if c % 4 == 0 else int(self.pick(1, 1, c)))
        m = outputs or group * int(self.pick(*([1, 1, 2] if group == c else [1, 2, 3, 5, 8])))
        kh, kw = kernel or self.pick((1, 1), (1, 1), (3, 3), (3, 3), (3, 3), (5, 5), (1, 3), (3, 1), (2, 2), (7, 7), (1, 7), (4, 4))
        (sh, sw), (dh, dw) = self.pick((1, 1), (1, 1), (1, 1), (2, 2), (1, 2), (3, 3)), self.pick((1, 1), (1, 1), (1, 1), (2, 2), (1, 3))
        attributes: dict[str, object] = {"strides": [sh, sw], "dilations": [dh, dw]}
        top, left, bottom, right = (int(self.rng.integers(0, k * d // 2 + 2)) for k, d in ((kh, dh), (kw, dw)) * 2)
        same = self.chance(0.15) and (dh, dw) == (1, 1)
        if same:
            attributes["auto_pad"] = self.pick("SAME_UPPER", "SAME_LOWER")
            shape = (n, m, -(-h // sh), -(-w // sw))
        else:
            if self.chance(0.6):
                top = bottom = dh * (kh - 1) // 2
                left = right = dw * (kw - 1) // 2
            attributes["pads"] = [top, left, bottom, right]
            shape = (n, m, (h + top + bottom - dh * (kh - 1) - 1) // sh + 1, (w + left + right - dw * (kw - 1) - 1) // sw + 1)
        if min(shape) < 1 or h + top + bottom < dh * (kh - 1) + 1 or w + left + right < dw * (kw - 1) + 1:
            return self.activation(x)
        inputs = [x.name, self.weights(m, c // group, kh, kw)] + ([self.weights(m, scale=0.3)] if self.chance(0.7) else [])
        y = self.add("Conv", inputs, shape, group=group, kernel_shape=[kh, kw], **attributes)
        if self.chance(0.3):
            y = self.batch_norm(y)
        if self.chance(0.15):
            y = self.fused_arithmetic(y)
        return self.activation(y) if self.chance(0.6) else y

    def separable(self, x: Value) -> Value:
        """1x1, depthwise, 1x1, with a residual where it fits: a mobile block."""
        n, c, h, w = x.shape
        wide = c * int(self.pick(1, 2, 6)) if c <= 12 else c
        y = self.activation(self.add("Conv", [x.name, self.weights(wide, c, 1, 1), self.weights(wide, scale=0.3)], (n, wide, h, w)))
        k, s = int(self.pick(3, 3, 5)), int(self.pick(1, 1, 2))
        shape = (n, wide, (h - 1) // s + 1, (w - 1) // s + 1)
        y = self.activation(self.add("Conv", [y.name, self.weights(wide, 1, k, k), self.weights(wide, scale=0.3)], shape, group=wide,
                                     strides=[s, s], pads=[k // 2] * 4))
        if self.chance(0.4):
            y = self.squeeze_excite(y)
        m = c if self.chance(0.6) else int(self.pick(8, 11, 16))
        z = self.add("Conv", [y.name, self.weights(m, wide, 1, 1), self.weights(m, scale=0.3)], (*shape[:1], m, *shape[2:]))
        return self.add("Add", self.shuffled(z.name, x.name), z.shape) if z.shape == x.shape else z

    def squeeze_excite(self, x: Value) -> Value:
        n, c, _, _ = x.shape
        pooled = (self.add("GlobalAveragePool", [x.name], (n, c, 1, 1)) if self.chance(0.6)
                  else self.axes("ReduceMean", x, [2, 3], (n, c, 1, 1), 18, keepdims=1))
        few = max(1, c // 4)
        hidden = self.add("Relu", [self.add("Conv", [pooled.name, self.weights(few, c, 1, 1)], (n, few, 1, 1)).name], (n, few, 1, 1))
        gate = self.add("Conv", [hidden.name, self.weights(c, few, 1, 1), self.weights(c)], (n, c, 1, 1))
        gate = self.add(str(self.pick("Sigmoid", "HardSigmoid")), [gate.name], gate.shape)
        return self.add("Mul", self.shuffled(x.name, gate.name), x.shape)

    def residual(self, x: Value) -> Value:
        c, k = x.shape[1], int(self.pick(1, 3))
        y = self.add("Conv", [x.name, self.weights(c, c, k, k), self.weights(c, scale=0.3)], x.shape, pads=[k // 2] * 4)
        y = self.add("Add", self.shuffled(y.name, x.name), x.shape)
        return self.activation(y) if self.chance(0.7) else y

    def conv_transpose(self, x: Value) -> Value:
        n, c, h, w = x.shape
        group = int(self.pick(1, 1, 2)) if c % 2 == 0 else 1
        per_group, k, s = int(self.pick(1, 3, 4)), int(self.pick(1, 2, 3, 4)), int(self.pick(1, 2, 2, 3))
        pad, extra = int(self.rng.integers(0, k // 2 + 1)), int(self.rng.integers(0, s))
        shape = (n, per_group * group, *[(d - 1) * s + k - 2 * pad + extra for d in (h, w)])
        if min(shape) < 1:
            return x
        return self.add("ConvTranspose", [x.name, self.weights(c, per_group, k, k)], shape, group=group, strides=[s, s], pads=[pad] * 4,
                        output_padding=[extra, extra])

    def pool(self, x: Value) -> Value:
        n, c, h, w = x.shape
        op = str(self.pick("MaxPool", "MaxPool", "AveragePool", "AveragePool", "LpPool"))
        (kh, kw), (sh, sw) = self.pick((2, 2), (3, 3), (3, 2), (5, 5)), self.pick((1, 1), (2, 2), (2, 1), (3, 3))
        if h < kh or w < kw:
            return x
        pads = [int(self.rng.integers(0, (k + 1) // 2)) for k in (kh, kw, kh, kw)]
        ceil = int(self.chance(0.3) and self.opset >= 10 and op != "LpPool")
        whole = [(d + pads[i] + pads[i + 2] - k) for i, (d, k) in enumerate(((h, kh), (w, kw)))]
        out = []
        for i, (room, s) in enumerate(zip(whole, (sh, sw))):
            extent = (-(-room // s) if ceil else room // s) + 1
            if ceil and (extent - 1) * s >= (h, w)[i] + pads[i]:
                return x            # a window that begins in the padding: exporters and engines differ on it
            out.append(extent)
        attributes: dict[str, object] = {"kernel_shape": [kh, kw], "strides": [sh, sw], "pads": pads}
        if op != "LpPool" and self.opset >= 10:
            attributes["ceil_mode"] = ceil
        if op == "AveragePool" and not ceil:
            attributes["count_include_pad"] = int(self.chance(0.5))
        return self.add(op, [x.name], (n, c, *out), **attributes)

    def batch_norm(self, x: Value) -> Value:
        c = x.shape[1]
        spread = self.constant(self.rng.uniform(0.3, 2, c).astype(np.float32))
        scales = [self.weights(c, scale=1.0), self.weights(c, scale=0.3), self.weights(c, scale=0.3), spread]
        return self.add("BatchNormalization", [x.name, *scales], x.shape, epsilon=1e-3)

    def instance_norm(self, x: Value) -> Value:
        c = x.shape[1]
        return self.add("InstanceNormalization", [x.name, self.weights(c, scale=1.0), self.weights(c, scale=0.3)], x.shape, epsilon=1e-3)

    def lrn(self, x: Value) -> Value:
        return self.add("LRN", [x.name], x.shape, size=int(self.pick(1, 3, 5)), alpha=0.01, beta=0.75, bias=1.0)

    def fused_arithmetic(self, x: Value) -> Value:
        """A scale or shift of channels behind a convolution."""
        c = x.shape[1]
        factors = self.weights(*self.pick((c, 1, 1), (1, c, 1, 1), (1,), ()), scale=1.0)
        return self.add(str(self.pick("Mul", "Add", "Sub")), self.shuffled(x.name, factors), x.shape)

    def resize(self, x: Value) -> Value:
        n, c, h, w = x.shape
        sh, sw = self.pick((2, 2), (2, 2), (1, 3), (3, 1))
        if x.size * sh * sw > MOST_ELEMENTS:
            return x
        shape, scales = (n, c, h * sh, w * sw), self.constant(np.array([1, 1, sh, sw], np.float32))
        mode = str(self.pick("nearest", "linear"))
        if self.opset < 9:
            return self.add("Upsample", [x.name], shape, mode=mode, scales=[1.0, 1.0, float(sh), float(sw)])
        if self.opset < 11:
            return self.add("Upsample" if self.opset == 9 else "Resize", [x.name, scales], shape, mode=mode)
        how = str(self.pick("half_pixel", "asymmetric", "align_corners")) if mode == "linear" else "asymmetric"
        nearest = "floor" if mode == "nearest" else None
        if self.chance(0.4):
            sizes = self.constant(np.array(shape, np.int64))
            return self.add("Resize", [x.name, "", "", sizes], shape, mode=mode, coordinate_transformation_mode=how, nearest_mode=nearest)
        return self.add("Resize", [x.name, "", scales], shape, mode=mode, coordinate_transformation_mode=how, nearest_mode=nearest)

    def depth_to_space(self, x: Value) -> Value:
        n, c, h, w = x.shape
        if c % 4 == 0 and self.chance(0.5):
            mode = str(self.pick("DCR", "CRD")) if self.opset >= 11 else None
            return self.add("DepthToSpace", [x.name], (n, c // 4, 2 * h, 2 * w), blocksize=2, mode=mode)
        if h % 2 == 0 and w % 2 == 0:
            return self.add("SpaceToDepth", [x.name], (n, 4 * c, h // 2, w // 2), blocksize=2)
        return x

    def channel_shuffle(self, x: Value) -> Value:
        n, c, h, w = x.shape
        if c % 2:
            return x
        five = self.add("Reshape", [x.name, self.constant(np.array([0, 2, c // 2, h, w], np.int64))], (n, 2, c // 2, h, w))
        turned = self.add("Transpose", [five.name], (n, c // 2, 2, h, w), perm=[0, 2, 1, 3, 4])
        return self.add("Reshape", [turned.name, self.constant(np.array([0, c, h, w], np.int64))], x.shape)

    def branches(self, x: Value) -> Value:
        """Two or three convolutions side by side, concatenated."""
        n, c, h, w = x.shape
        parts = []
        for _ in range(int(self.pick(2, 2, 3))):
            k, m = int(self.pick(1, 1, 3)), int(self.pick(3, 8, 16))
            y = self.add("Conv", [x.name, self.weights(m, c, k, k), self.weights(m, scale=0.3)], (n, m, h, w), pads=[k // 2] * 4)
            parts.append(self.activation(y) if self.chance(0.6) else y)
        if self.chance(0.3):
            parts.append(x)
        return self.add("Concat", [part.name for part in parts], (n, sum(part.shape[1] for part in parts), h, w), axis=1)

    def halves(self, x: Value) -> Value:
        """Split along channels; one half goes on, or both meet again."""
        n, c, h, w = x.shape
        if c < 2:
            return x
        sizes = [c // 2, c - c // 2]
        if self.opset < 13:
            first, second = self.node("Split", [x.name], 2, axis=1, split=sizes)
        else:
            first, second = self.node("Split", [x.name, self.constant(np.array(sizes, np.int64))], 2, axis=1)
        a, b = Value(first, (n, sizes[0], h, w)), Value(second, (n, sizes[1], h, w))
        if self.chance(0.3):
            return a
        b = self.activation(b)
        return self.add("Concat", self.shuffled(a.name, b.name), x.shape, axis=1)

    def pad(self, x: Value) -> Value:
        mode = str(self.pick("constant", "constant", "reflect", "edge"))
        n, c, h, w = x.shape
        pads = [int(self.rng.integers(0, 3)) for _ in range(4)]
        if mode == "reflect" and min(h, w) < 4:
            mode = "edge"
        shape, before_after = (n, c, h + pads[0] + pads[2], w + pads[1] + pads[3]), [0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]]
        if self.opset < 11:
            return self.add("Pad", [x.name], shape, mode=mode, pads=before_after, value=0.5 if mode == "constant" else None)
        value = [self.constant(np.float32(self.pick(0, 0, 0.5)))] if mode == "constant" and self.chance(0.5) else []
        return self.add("Pad", [x.name, self.constant(np.array(before_after, np.int64)), *value], shape, mode=mode)

    def global_head(self, x: Value) -> Value:
        """Pooling, flattening, a fully connected layer: the end of a classifier."""
        n, c, _, _ = x.shape
        pooled = self.add("GlobalAveragePool", [x.name], (n, c, 1, 1))
        flat = self.flatten(pooled)
        return self.gemm(flat)


_W = ImageWriter
IMAGE: dict[Callable[[Any, Value], Value], float] = {
    _W.conv: 8, _W.separable: 3, _W.residual: 2, _W.conv_transpose: 1, _W.pool: 2, _W.batch_norm: 1, _W.instance_norm: 0.5,
    _W.lrn: 0.3, _W.resize: 1, _W.depth_to_space: 0.7, _W.channel_shuffle: 0.7, _W.branches: 1.5, _W.halves: 1, _W.pad: 1,
    _W.global_head: 1, _W.squeeze_excite: 1, _W.focus: 0.5, _W.to_tokens: 0.7, _W.fused_arithmetic: 0.7}
MOTIFS = {"image": {**IMAGE, **ANY}, "any": ANY}


def random_model(seed: int) -> Case:
    """The model of a seed, the same on every machine."""
    rng = np.random.default_rng(seed)
    writer = ImageWriter(rng, int(rng.choice(OPSETS)))
    dynamic = writer.chance(0.5)
    channels = int(writer.pick(1, 3, 3, 4, 8, 16, 20, 32))
    sizes = [(int(writer.pick(1, 1, 1, 2)), channels, *(int(v) for v in rng.integers(5, 24, 2)))]
    sizes.append((int(rng.integers(1, 4)), channels, *(int(v) for v in rng.integers(5, 30, 2))))
    if writer.chance(0.3):
        sizes = [(n, c, h + h % 2, w + w % 2) for n, c, h, w in sizes]
    x = Value("x", sizes[0])
    writer.values.append(x)
    wanted = int(rng.integers(2, 9))
    while len(writer.values) <= wanted and len(writer.nodes) < 14:
        source = writer.values[-1] if writer.chance(0.8) else writer.values[int(rng.integers(len(writer.values)))]
        if source.size > MOST_ELEMENTS or not source.shape:
            source = x
        motifs = MOTIFS["image" if source.is_image else "any"]
        weights = np.array(list(motifs.values()))
        made = list(motifs)[int(rng.choice(len(motifs), p=weights / weights.sum()))](writer, source)
        if made.name != source.name and min(made.shape, default=1) > 0:
            writer.values.append(made)
        elif made.name == source.name and writer.chance(0.2):
            writer.values.append(writer.activation(source))
    return Case(seed, writer.opset, _model(writer, dynamic), _feeds(rng, sizes if dynamic else sizes[:1]))


def _model(writer: Writer, dynamic: bool) -> ModelProto:
    read = {name for node in writer.nodes for name in node.input}
    leaves = [value.name for value in writer.values if value.name not in read and value.name != "x"]
    inner = [value.name for value in writer.values[1:] if value.name in read and writer.chance(0.15)]
    outputs = [helper.make_empty_tensor_value_info(name) for name in dict.fromkeys([*leaves, *inner, *writer.extras])]
    shape = ["n", writer.values[0].shape[1], "h", "w"] if dynamic else list(writer.values[0].shape)
    constants = [numpy_helper.from_array(array, name) for name, array in writer.constants.items()]
    graph = helper.make_graph(writer.nodes, "random", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", writer.opset)], ir_version=min(8, 3 + writer.opset // 3))


def _feeds(rng: np.random.Generator, sizes: Sequence[tuple[int, ...]]) -> list[dict[str, np.ndarray]]:
    return [{"x": rng.standard_normal(size).astype(np.float32)} for size in sizes]
