"""Random small quantised networks: float operators between QuantizeLinear and DequantizeLinear, signed and unsigned, odd zero points.

`random_quantised(seed)` gives a model and feeds, of one number of images or of two. Every value is about 1 in size, so that scales fit.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import random_writer
from quantized_models import Quantised
from random_graphs import Case

OPSETS = (13, 14, 15, 16, 17, 18, 19)
MOST_ELEMENTS = 20_000
ZEROS: dict[type, tuple[int, ...]] = {np.uint8: (0, 3, 117, 128, 131, 255), np.int8: (0, 0, -7, 5, 11, -128)}
SPREAD = 74.0           # of random signed bytes


@dataclass(frozen=True)
class Value(random_writer.Value):
    """scale: what it was quantised by, 0 where it was not."""

    scale: float = 0.0


@dataclass
class QuantisedWriter:
    """Appends motifs: each takes a quantised value of four axes and gives a value, which is quantised after it."""

    rng: np.random.Generator
    opset: int
    q: Quantised = field(default_factory=Quantised)
    values: list[Value] = field(default_factory=list)

    def pick(self, *options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def point(self) -> tuple[float, int, type]:
        """Scale, zero point and element type of a value; decimals among them, which put sums on ties."""
        dtype = self.pick(np.uint8, np.uint8, np.int8)
        return float(self.pick(0.02, 0.025, 0.03, 0.03125, 0.04, self.rng.uniform(0.015, 0.05))), self.pick(*ZEROS[dtype]), dtype

    def quantised(self, x: Value) -> Value:
        scale, zero, dtype = self.point()
        return Value(self.q.quant(x.name, scale, zero, dtype), x.shape, scale)

    def weights(self, x: Value, shape: tuple[int, ...], axis: int = 0, bias: float = 0.6) -> list[str]:
        """Bytes at one scale or one for each output channel, now and then unsigned or with odd zero points; a bias in units of the sums."""
        whole = 1 / (SPREAD * np.sqrt(max(1, np.prod(shape) / shape[axis])))
        scales = whole * self.rng.uniform(0.5, 1.5, shape[axis]).astype(np.float32) if self.chance(0.6) else float(whole)
        dtype, zero = self.pick((np.int8, 0), (np.int8, 0), (np.int8, 0), (np.uint8, 128), (np.int8, 3))
        zeros = np.full(shape[axis], zero) if np.ndim(scales) else zero
        stored = self.q.weights(shape, scales, zeros, dtype, axis)
        return [stored, self.q.bias(shape[axis], np.asarray(scales, np.float32) * np.float32(x.scale))] if self.chance(bias) else [stored]

    def conv(self, x: Value) -> Value:
        n, c, h, w = x.shape
        group = self.pick(1, 1, 1, c)
        m = group * self.pick(1, 2) if group > 1 else self.pick(3, 8, 13, 16, 20)
        kh, kw = self.pick((1, 1), (1, 1), (3, 3), (3, 3), (5, 5), (1, 3), (3, 1), (2, 2))
        stride, pads = self.pick(1, 1, 2), [int(self.rng.integers(0, k // 2 + 1)) for k in (kh, kw, kh, kw)]
        out = [(d + pads[i] + pads[i + 2] - k) // stride + 1 for i, (d, k) in enumerate(((h, kh), (w, kw)))]
        if h + pads[0] + pads[2] < kh or w + pads[1] + pads[3] < kw:
            return self.activation(x)
        y = Value(self.q.op("Conv", x.name, *self.weights(x, (m, c // group, kh, kw)), group=group, strides=[stride] * 2, pads=pads),
                  (n, m, *out))
        if self.chance(0.2) and y.shape == x.shape:
            return Value(self.q.op("Relu", self.q.op("Add", self.quantised(y).name, x.name)), y.shape)
        return self.activation(y) if self.chance(0.5) else y

    def activation(self, x: Value) -> Value:
        kind = self.pick("Relu", "Relu", "Clip", "Sigmoid", "HardSigmoid", "LeakyRelu", "Tanh", "silu")
        if kind == "Clip":
            ends = [self.q.constant(np.float32(v)) for v in (self.pick(-0.5, 0), self.pick(1.5, 6))]
            return Value(self.q.op("Clip", x.name, *ends), x.shape)
        if kind == "silu":
            return Value(self.q.op("Mul", x.name, self.q.op("Sigmoid", x.name)), x.shape)
        return Value(self.q.op(kind, x.name), x.shape)

    def gemm(self, x: Value) -> Value:
        n, m, k = x.shape[0], self.pick(3, 10, 16), x.size // x.shape[0]
        flat = self.q.op("Flatten", x.name, axis=1)
        y = (self.q.op("Gemm", flat, *self.weights(x, (m, k)), transB=1) if self.chance(0.5)
             else self.q.op("MatMul", flat, *self.weights(x, (k, m), 1, 0)))
        return Value(self.q.op("Reshape", y, self.q.constant(np.array([0, m, 1, 1], np.int64))), (n, m, 1, 1))

    def arithmetic(self, x: Value) -> Value:
        others = [value for value in self.values if value.shape == x.shape and value.name != x.name]
        other = others[-1] if others else self.quantised(self.activation(x))
        return Value(self.q.op(self.pick("Add", "Add", "Mul", "Sub"), *self.rng.permutation([x.name, other.name]).tolist()), x.shape)

    def concat(self, x: Value) -> Value:
        others = [value for value in self.values if (value.shape[0], *value.shape[2:]) == (x.shape[0], *x.shape[2:])]
        parts = [x, self.pick(*others)] if others else [x, self.quantised(self.activation(x))]
        return Value(self.q.op("Concat", *[part.name for part in parts], axis=1),
                     (x.shape[0], sum(part.shape[1] for part in parts), *x.shape[2:]))

    def pool(self, x: Value) -> Value:
        op, k, s = self.pick("MaxPool", "AveragePool"), self.pick(2, 3), self.pick(1, 2)
        if min(x.shape[2:]) < k or self.chance(0.25):
            return Value(self.q.op("GlobalAveragePool", x.name), (*x.shape[:2], 1, 1))
        more = {"count_include_pad": self.pick(0, 1)} if op == "AveragePool" else {}
        pad = self.pick(0, 1)
        return Value(self.q.op(op, x.name, kernel_shape=[k, k], strides=[s, s], pads=[pad] * 4, **more),
                     (*x.shape[:2], *((d + 2 * pad - k) // s + 1 for d in x.shape[2:])))

    def resize(self, x: Value) -> Value:
        n, c, h, w = x.shape
        if 4 * x.size > MOST_ELEMENTS:
            return x
        scales, mode = self.q.constant(np.array([1, 1, 2, 2], np.float32)), self.pick("nearest", "linear")
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if mode == "nearest" else {}
        return Value(self.q.op("Resize", x.name, "", scales, mode=mode, **how), (n, c, 2 * h, 2 * w))

    def pad(self, x: Value) -> Value:
        pads = [0, 0, *(int(v) for v in self.rng.integers(0, 3, 2)), 0, 0, *(int(v) for v in self.rng.integers(0, 3, 2))]
        mode = self.pick("constant", "constant", "edge")
        shape = tuple(d + pads[k] + pads[k + 4] for k, d in enumerate(x.shape))
        more = [self.q.constant(np.float32(self.pick(0, 0.25)))] if mode == "constant" and self.chance(0.5) else []
        return Value(self.q.op("Pad", x.name, self.q.constant(np.array(pads, np.int64)), *more, mode=mode), shape)

    def transpose(self, x: Value) -> Value:
        perm = (0, *(int(v) for v in 1 + self.rng.permutation(3)))
        return Value(self.q.op("Transpose", x.name, perm=perm), tuple(x.shape[p] for p in perm))

    def slice(self, x: Value) -> Value:
        axis = int(self.rng.integers(1, 4))
        if x.shape[axis] < 3:
            return x
        ends = [self.q.constant(np.array([v], np.int64)) for v in (1, 2 ** 31 - 1, axis)]
        return Value(self.q.op("Slice", x.name, *ends), tuple(d - (k == axis) for k, d in enumerate(x.shape)))

    def normalise(self, x: Value) -> Value:
        """A BatchNormalization of bytes, or of floats that nothing has quantised; a limit behind it, half of the time."""
        c = x.shape[1]
        inner = x.name if self.chance(0.4) else self.q.op(self.pick("Sigmoid", "Tanh"), x.name)
        numbers = [*self.rng.normal(size=(3, c)), self.rng.uniform(0.5, 2, c)]
        y = self.q.op("BatchNormalization", inner, *(self.q.constant(v.astype(np.float32)) for v in numbers))
        return self.activation(Value(y, x.shape)) if self.chance(0.5) else Value(y, x.shape)


_W = QuantisedWriter
MOTIFS: dict[Callable[[QuantisedWriter, Value], Value], float] = {
    _W.conv: 8, _W.activation: 1, _W.gemm: 0.7, _W.arithmetic: 2, _W.concat: 1.5, _W.pool: 2, _W.resize: 1, _W.pad: 1, _W.transpose: 1,
    _W.slice: 0.7}
# Seeds from the first of these on have them too: those before keep the models in which they found something.
MORE_MOTIFS = {_W.normalise: 2.0}
MORE_FROM = 1_000_000


def random_quantised(seed: int) -> Case:
    """The model of a seed, the same on every machine."""
    rng = np.random.default_rng(seed)
    writer = QuantisedWriter(rng, int(rng.choice(OPSETS)), Quantised(seed))
    images, inside = int(rng.integers(1, 4)), (int(writer.pick(1, 3, 4, 8, 13, 16)), *(int(v) for v in rng.integers(4, 18, 2)))
    dynamic = writer.chance(0.4)
    writer.values.append(writer.quantised(Value("x", (images, *inside))))
    motifs = MOTIFS | (MORE_MOTIFS if seed >= MORE_FROM else {})
    outputs, weights = [], np.array(list(motifs.values()))
    for _ in range(int(rng.integers(1, 8))):
        source = writer.values[-1] if writer.chance(0.8) else writer.pick(*writer.values)
        made = list(motifs)[int(rng.choice(len(motifs), p=weights / weights.sum()))](writer, source)
        if made.name == source.name or made.size > MOST_ELEMENTS:
            continue
        if writer.chance(0.1):
            outputs.append(made.name)
        writer.values.append(writer.quantised(made))
    scale, zero, dtype = writer.point()
    outputs.append(writer.q.bytes(writer.values[-1].name, scale, zero, dtype) if writer.chance(0.5) else writer.values[-1].name)
    proto = writer.q.model({"x": ["n" if dynamic else images, *inside]}, *dict.fromkeys(outputs), opset=writer.opset)
    sizes = [images, int(rng.integers(1, 5))] if dynamic else [images]
    return Case(seed, writer.opset, proto, [{"x": rng.standard_normal((n, *inside)).astype(np.float32)} for n in sizes])
