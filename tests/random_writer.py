"""What random networks are written with: values, nodes in the forms of an opset, and motifs for values of any rank (`ANY`)."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto, TensorProto, helper

MOST_ELEMENTS = 40_000


@dataclass(frozen=True)
class Value:
    """A float tensor of the graph at the first of the two input sizes."""

    name: str
    shape: tuple[int, ...]

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 4

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


@dataclass
class Writer:
    """Appends motifs to a graph. `values` are those that a motif may read, the newest last."""

    rng: np.random.Generator
    opset: int
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)         # outputs besides the values: integers


    def pick(self, *options: object) -> object:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def constant(self, array: np.ndarray | Sequence[float] | Sequence[int]) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def weights(self, *shape: int, scale: float | None = None) -> str:
        fan = int(np.prod(shape[1:])) or 1
        values = self.rng.standard_normal(shape) * (1 / np.sqrt(fan) if scale is None else scale)
        return self.constant(values.astype(np.float32))

    def node(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: object) -> list[str]:
        names = [f"t{len(self.nodes)}_{k}" for k in range(outputs)]
        attributes = {name: value for name, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"n{len(self.nodes)}", **attributes))
        return names

    def add(self, op: str, inputs: Sequence[str], shape: Sequence[int], **attributes: object) -> Value:
        name, = self.node(op, inputs, **attributes)
        return Value(name, tuple(int(d) for d in shape))

    def axes(self, op: str, x: Value, axes: list[int], shape: Sequence[int], since: int, **attributes: object) -> Value:
        """An operator whose axes are an attribute before opset `since`, an input from then on."""
        if self.opset < since:
            return self.add(op, [x.name], shape, axes=axes, **attributes)
        return self.add(op, [x.name, self.constant(np.array(axes, np.int64))], shape, **attributes)

    def activation(self, x: Value) -> Value:
        kind = str(self.pick("Relu", "Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSigmoid", "Softplus", "PRelu", "silu",
                             "hardswish", "gelu", "Abs", "Exp", "Softsign", "Selu", "Mish", "Erf"))
        if kind == "Clip":
            low, high = float(self.pick(-1.0, 0.0)), float(self.pick(0.7, 6.0))
            if self.opset < 11:
                return self.add("Clip", [x.name], x.shape, min=low, max=high)
            return self.add("Clip", [x.name, self.constant(np.float32(low)), self.constant(np.float32(high))], x.shape)
        if kind == "PRelu" and len(x.shape) > 1:
            slopes = self.pick((x.shape[1], *[1] * (len(x.shape) - 2)), (1,))
            return self.add("PRelu", [x.name, self.weights(*slopes, scale=0.3)], x.shape)
        if kind == "silu":
            return self.add("Mul", self.shuffled(x.name, self.add("Sigmoid", [x.name], x.shape).name), x.shape)
        if kind == "hardswish":
            return self.hard_swish(x)
        if kind == "gelu":
            halved = self.add("Div", [x.name, self.constant(np.float32(np.sqrt(2)))], x.shape)
            erf = self.add("Erf", [halved.name], x.shape) if self.opset >= 9 else self.add("Tanh", [halved.name], x.shape)
            plus = self.add("Add", [erf.name, self.constant(np.float32(1))], x.shape)
            return self.add("Mul", [self.add("Mul", [x.name, plus.name], x.shape).name, self.constant(np.float32(0.5))], x.shape)
        if kind == "Exp":
            return self.add("Exp", [self.add("Neg", [self.add("Abs", [x.name], x.shape).name], x.shape).name], x.shape)
        if (kind == "Mish" and self.opset < 18) or (kind == "Erf" and self.opset < 9) or kind == "PRelu":
            kind = "Relu"
        return self.add(kind, [x.name], x.shape)

    def hard_swish(self, x: Value) -> Value:
        if self.opset >= 14 and self.chance(0.5):
            return self.add("HardSwish", [x.name], x.shape)
        plus = self.add("Add", [x.name, self.constant(np.float32(3))], x.shape)
        if self.opset < 11:
            clipped = self.add("Clip", [plus.name], x.shape, min=0.0, max=6.0)
        else:
            clipped = self.add("Clip", [plus.name, self.constant(np.float32(0)), self.constant(np.float32(6))], x.shape)
        return self.add("Div", [self.add("Mul", [x.name, clipped.name], x.shape).name, self.constant(np.float32(6))], x.shape)

    def arithmetic(self, x: Value) -> Value:
        """With a constant that broadcasts, or with another value of the graph."""
        others = [value for value in self.values if value.shape == x.shape and value.name != x.name]
        op = str(self.pick("Add", "Mul", "Sub", "Max", "Min"))
        if others and self.chance(0.6):
            return self.add(op, self.shuffled(x.name, others[-1].name), x.shape)
        kept = int(self.rng.integers(0, len(x.shape) + 1))
        shape = tuple(d if self.chance(0.5) else 1 for d in x.shape[len(x.shape) - kept:])
        return self.add(op if op in ("Add", "Mul", "Sub") or self.opset >= 8 else "Add",
                        self.shuffled(x.name, self.weights(*shape, scale=1.0)), x.shape)

    def comparison(self, x: Value) -> Value:
        """Where of a comparison with a constant; Greater of floats from opset 7, Where from 9."""
        if self.opset < 9:
            return self.activation(x)
        what, = self.node(str(self.pick("Greater", "Less")), [x.name, self.constant(np.float32(0.1))])
        return self.add("Where", [what, x.name, self.constant(np.float32(-0.5))], x.shape)

    def softmax(self, x: Value) -> Value:
        axis = int(self.rng.integers(0, len(x.shape))) if self.opset >= 13 else len(x.shape) - 1
        return self.add(str(self.pick("Softmax", "Softmax", "LogSoftmax")), [x.name], x.shape, axis=axis)

    def reduce(self, x: Value) -> Value:
        rank = len(x.shape)
        axes = sorted({int(a) for a in self.rng.integers(0, rank, int(self.pick(1, 2)))})
        keep = int(self.chance(0.7) or len(axes) == rank)
        shape = [1 if a in axes else d for a, d in enumerate(x.shape)] if keep else [d for a, d in enumerate(x.shape) if a not in axes]
        op = str(self.pick("ReduceMean", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare"))
        return self.axes(op, x, axes, shape, 13 if op == "ReduceSum" else 18, keepdims=keep)

    def layer_norm(self, x: Value) -> Value:
        """Spelled out over the last axis, or the operator."""
        d, shape = x.shape[-1], (*x.shape[:-1], 1)
        gain, shift = self.weights(d, scale=1.0), self.weights(d, scale=0.3)
        if self.opset >= 17 and self.chance(0.5):
            return self.add("LayerNormalization", [x.name, gain, shift], x.shape, axis=-1, epsilon=1e-3)
        mean = self.axes("ReduceMean", x, [-1], shape, 18, keepdims=1)
        centred = self.add("Sub", [x.name, mean.name], x.shape)
        squares = self.add("Pow", [centred.name, self.constant(np.float32(2))], x.shape)
        spread = self.axes("ReduceMean", squares, [-1], shape, 18, keepdims=1)
        root = self.add("Sqrt", [self.add("Add", [spread.name, self.constant(np.float32(1e-3))], shape).name], shape)
        scaled = self.add("Mul", [self.add("Div", [centred.name, root.name], x.shape).name, gain], x.shape)
        return self.add("Add", [scaled.name, shift], x.shape)

    def transpose(self, x: Value) -> Value:
        order = [int(a) for a in self.rng.permutation(len(x.shape))]
        return self.add("Transpose", [x.name], [x.shape[a] for a in order], perm=order)

    def flatten(self, x: Value) -> Value:
        shape = (x.shape[0], x.size // x.shape[0])
        how = self.pick("flatten", "reshape", "shape")
        if how == "flatten":
            return self.add("Flatten", [x.name], shape, axis=1)
        if how == "reshape":
            return self.add("Reshape", [x.name, self.constant(np.array([0, -1], np.int64))], shape)
        whole, = self.node("Shape", [x.name])
        first, = self.node("Gather", [whole, self.constant(np.int64(0))], axis=0)
        if self.opset < 13:
            column, = self.node("Unsqueeze", [first], axes=[0])
        else:
            column, = self.node("Unsqueeze", [first, self.constant(np.array([0], np.int64))])
        target, = self.node("Concat", [column, self.constant(np.array([-1], np.int64))], axis=0)
        return self.add("Reshape", [x.name, target], shape)

    def to_tokens(self, x: Value) -> Value:
        """(N, C, H, W) as (N, H W, C): what transformers do with an image."""
        if not x.is_image:
            return x
        n, c, h, w = x.shape
        rows = self.add("Reshape", [x.name, self.constant(np.array([0, 0, -1], np.int64))], (n, c, h * w))
        return self.add("Transpose", [rows.name], (n, h * w, c), perm=[0, 2, 1])

    def gemm(self, x: Value) -> Value:
        if len(x.shape) != 2:
            return self.matmul(x)
        k, m = x.shape[1], int(self.pick(3, 10, 17, 32))
        if self.chance(0.5):
            return self.add("Gemm", [x.name, self.weights(m, k), self.weights(m, scale=0.3)], (x.shape[0], m), transB=1)
        alpha = float(self.pick(1.0, 0.5))
        return self.add("Gemm", [x.name, self.weights(k, m, scale=k ** -0.5), self.weights(1, scale=0.3)], (x.shape[0], m), alpha=alpha)

    def matmul(self, x: Value) -> Value:
        if len(x.shape) < 2:
            return self.activation(x)
        k, m = x.shape[-1], int(self.pick(3, 10, 17, 32))
        y = self.add("MatMul", [x.name, self.weights(k, m, scale=k ** -0.5)], (*x.shape[:-1], m))
        return self.add("Add", self.shuffled(y.name, self.weights(m, scale=0.3)), y.shape) if self.chance(0.6) else y

    def attention(self, x: Value) -> Value:
        """softmax(x x^T) x over the last two axes."""
        if len(x.shape) != 3 or x.shape[1] > 200:
            return self.matmul(x)
        n, t, c = x.shape
        turned = self.add("Transpose", [x.name], (n, c, t), perm=[0, 2, 1])
        scores = self.add("MatMul", [x.name, turned.name], (n, t, t))
        scaled = self.add("Mul", [scores.name, self.constant(np.float32(c ** -0.5))], scores.shape)
        return self.add("MatMul", [self.add("Softmax", [scaled.name], scores.shape, axis=2).name, x.name], x.shape)

    def slice(self, x: Value) -> Value:
        axis = int(self.rng.integers(0, len(x.shape)))
        d = x.shape[axis]
        if d < 3 or axis == 0:
            return x
        start, end = int(self.pick(0, 1, -d + 1)), int(self.pick(d, -1, 2 ** 31 - 1))
        step = int(self.pick(1, 1, 2)) if self.opset >= 10 else 1
        extent = len(range(d)[start:end:step])
        shape = (*x.shape[:axis], extent, *x.shape[axis + 1:])
        if self.opset < 10:
            return self.add("Slice", [x.name], shape, axes=[axis], starts=[start], ends=[end])
        return self.add("Slice", [x.name, *[self.constant(np.array([v], np.int64)) for v in (start, end, axis, step)]], shape)

    def focus(self, x: Value) -> Value:
        """Every second pixel of each phase, concatenated: YOLO's first layer."""
        if not x.is_image or self.opset < 10 or x.shape[2] % 2 or x.shape[3] % 2:
            return x
        n, c, h, w = x.shape
        far, parts = self.constant(np.array([2 ** 31 - 1] * 2, np.int64)), []
        axes, steps = self.constant(np.array([2, 3], np.int64)), self.constant(np.array([2, 2], np.int64))
        for dy in (0, 1):
            for dx in (0, 1):
                start = self.constant(np.array([dy, dx], np.int64))
                parts.append(self.add("Slice", [x.name, start, far, axes, steps], (n, c, h // 2, w // 2)).name)
        return self.add("Concat", parts, (n, 4 * c, h // 2, w // 2), axis=1)

    def gather(self, x: Value) -> Value:
        axis = int(self.rng.integers(0, len(x.shape)))
        if axis == 0:
            return x
        picks = self.rng.integers(0, x.shape[axis], int(self.pick(1, 3)))
        return self.add("Gather", [x.name, self.constant(picks.astype(np.int64))],
                        (*x.shape[:axis], len(picks), *x.shape[axis + 1:]), axis=axis)

    def unsqueeze(self, x: Value) -> Value:
        if len(x.shape) > 4:
            return x
        axis = int(self.rng.integers(0, len(x.shape) + 1))
        wide = self.axes("Unsqueeze", x, [axis], (*x.shape[:axis], 1, *x.shape[axis:]), 13)
        return wide if self.chance(0.3) else self.axes("Squeeze", self.activation(wide), [axis], x.shape, 13)

    def tile(self, x: Value) -> Value:
        repeats = [int(self.pick(1, 1, 2)) for _ in x.shape]
        shape = [d * r for d, r in zip(x.shape, repeats)]
        if np.prod(shape) > MOST_ELEMENTS:
            return x
        return self.add("Tile", [x.name, self.constant(np.array(repeats, np.int64))], shape)

    def indices(self, x: Value) -> Value:
        """ArgMax or TopK as a further output."""
        if self.chance(0.5) or self.opset < 10 or x.shape[-1] < 2:
            self.extras += self.node("ArgMax", [x.name], axis=len(x.shape) - 1, keepdims=int(self.chance(0.5)))
            return x
        values, where = self.node("TopK", [x.name, self.constant(np.array([2], np.int64))], 2, axis=-1)
        self.extras.append(where)
        return Value(values, (*x.shape[:-1], 2))

    def cast(self, x: Value) -> Value:
        """There and back through integers."""
        whole, = self.node("Cast", [x.name], to=int(self.pick(TensorProto.INT32, TensorProto.INT64)))
        return self.add("Cast", [whole], x.shape, to=TensorProto.FLOAT)

    def dropout(self, x: Value) -> Value:
        return self.add(str(self.pick("Dropout", "Identity")), [x.name], x.shape)

    def shuffled(self, *names: str) -> list[str]:
        return [names[int(k)] for k in self.rng.permutation(len(names))]


Motif = Callable[[Writer, Value], Value]
ANY: dict[Motif, float] = {
    Writer.activation: 1.5, Writer.arithmetic: 1.5, Writer.comparison: 0.4, Writer.softmax: 0.5, Writer.reduce: 0.7, Writer.layer_norm: 0.7,
    Writer.transpose: 0.7, Writer.flatten: 0.4, Writer.gemm: 1, Writer.matmul: 0.7, Writer.attention: 0.7, Writer.slice: 0.7,
    Writer.gather: 0.3, Writer.unsqueeze: 0.4, Writer.tile: 0.3, Writer.indices: 0.3, Writer.cast: 0.2, Writer.dropout: 0.3}
