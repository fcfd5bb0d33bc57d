"""LSTM, GRU and RNN: the input projection of all time steps as one matrix product, then one step that walks through time."""
from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

import fastcnn._native as _native
from fastcnn.ir.spec import F32, Args
from fastcnn.ir.tensor import Tensor, dense_strides
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.elementwise.elementwise import emit_binary
from fastcnn.ops.layout import scalar
from fastcnn.ops.products.linear import emit_matmul, emit_rows

CELLS = {"RNN": 0, "LSTM": 1, "GRU": 2}
GRU_LINEAR = 3                      # linear_before_reset
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
DEFAULTS = {"RNN": ["tanh"], "LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
RNN_FUNCTIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
# ONNX name in lower case -> kernel, default alpha and beta; None: the function does not take one from activation_alpha, _beta.
FUNCTIONS: dict[str, tuple[str, float | None, float | None]] = {
    **{name: (kernel, None, None) for name, kernel in RNN_FUNCTIONS.items()}, "affine": ("Affine", 1.0, 0.0),
    "leakyrelu": ("LeakyRelu", 0.01, None), "thresholdedrelu": ("ThresholdedRelu", 1.0, None), "scaledtanh": ("ScaledTanh", 1.0, 1.0),
    "hardsigmoid": ("HardSigmoid", 0.2, 0.5), "elu": ("Elu", 1.0, None)}
# Gates computed at once, first to past the last, and the blocks of a panel: four vectors hide the latency of an FMA.
PARTS = {"RNN": ((0, 1, 4),), "LSTM": ((0, 4, 1),), "GRU": ((0, 2, 2), (2, 3, 4)), "linear GRU": ((0, 3, 1),)}
FLOATS = {"nv": 0, "zeros": 0}      # fields of weights that are no bytes


class Recurrent(Op):
    """Y[t] = cell(X[t] W^T + b, Y[t-1] R^T) in one or both directions; Y_h and Y_c are the last states.

    X: (T, N, I), W: (D, G*H, I), R: (D, G*H, H), B: (D, 2*G*H), sequence_lens: (N), initial states (D, N, H), P: (D, 3*H);
    layout 1 has the batch first. Weights are best constant; those that the run computes are laid out by the run. ONNX RNN, GRU,
    LSTM-7 to 22. Other activations than the default ones (RNN: one each of RNN_FUNCTIONS), input_forget, and clip where a gate is
    the sum of more than one product, go through a slower cell. Raises ShapeError.
    """

    def __init__(self, kind: str):
        self.kind = kind

    def native(self, args: Args) -> bool:
        floats = all(s is None or s.dtype == (np.int32 if i == 4 else F32) for i, s in enumerate(args.specs))
        return floats and args.spec(0).rank == 3 and args.spec(0).size > 0 and self._functions(args) is not None

    def lower(self, low: Lowering) -> None:
        d, rows, h = self.hidden_rows(low.args)
        steps, n = _time_and_batch(low.args)
        linear = bool(low.node.attrs.get("linear_before_reset", 0))
        blocks = Blocks(self.kind, d, h, linear)
        z = self.project(low, blocks, linear)
        z_step, z_row = (z.strides[0], z.strides[1]) if not _batch_first(low.args) else (z.strides[1], z.strides[0])
        y = self._output(low, n, d, h)
        outputs = [_plain(low, i) for i in (1, 2)]
        state = low.temp((4, d, n, blocks.padded))
        optional = [low.read(i, "dense") if low.args.has(i) else None for i in (4, 5, 6)]
        cell, parameters = self._cell(low)
        y_step, y_direction, y_row = _order(low.args, y.strides) if y else (0, 0, 0)
        state_row, state_direction = (d * h, h) if _batch_first(low.args) else (h, n * h)
        (weights, *columns), stored = self.state_weights(low, blocks, linear)
        low.emit("recurrent", [state, y, *outputs, z, weights, self._extra(low, blocks, linear), *optional, parameters, *columns],
                 steps * n * d * rows * h, cell=GRU_LINEAR if linear and self.kind == "GRU" else CELLS[self.kind], steps=steps, n=n, h=h,
                 directions=d, reverse=int(low.node.attrs.get("direction", "forward") == "reverse"), z_step=z_step, z_row=z_row,
                 y_step=y_step, y_direction=y_direction, y_row=y_row, state_direction=state_direction,
                 state_row=state_row, **stored, **cell)
        for i, target in enumerate([y, *outputs]):
            if target is not None:
                low.alias(i, target)

    def hidden_rows(self, args: Args) -> tuple[int, int, int]:
        """(directions, gates * hidden, hidden)."""
        d, rows, h = args.spec(2).shape
        return d, rows, h

    # ---- attributes ----

    def _functions(self, args: Args) -> list[tuple[str, float, float]] | None:
        """(kernel, alpha, beta) of every direction's activations, None when ONNX has no such function."""
        attrs, d = args.node.attrs, _directions(args)
        names = [name.lower() for name in attrs.get("activations") or DEFAULTS[self.kind] * d]
        alphas, betas = (list(attrs.get(f"activation_{name}") or []) for name in ("alpha", "beta"))
        if len(names) != len(DEFAULTS[self.kind]) * d or any(name not in FUNCTIONS for name in names):
            return None
        found = []
        for name in names:
            kernel, alpha, beta = FUNCTIONS[name]
            found.append((kernel, alphas.pop(0) if alphas and alpha is not None else alpha or 0.0,
                          betas.pop(0) if betas and beta is not None else beta or 0.0))
        return found

    def _usual(self, args: Args) -> bool:
        """Whether the fast cell covers the attributes."""
        attrs, d = args.node.attrs, _directions(args)
        names = [name.lower() for name in attrs.get("activations") or DEFAULTS[self.kind] * d]
        if self.kind == "RNN":
            return len(set(names)) == 1 and names[0] in RNN_FUNCTIONS
        sums = (self.kind == "LSTM" and args.has(7)) or (self.kind == "GRU" and attrs.get("linear_before_reset", 0))
        return names == DEFAULTS[self.kind] * d and not attrs.get("input_forget", 0) and not ("clip" in attrs and sums)

    def _cell(self, low: Lowering) -> tuple[dict[str, Any], Tensor | None]:
        """Fields of the step that name its functions, and their parameters where the cell is not the usual one."""
        functions, attrs, per = self._functions(low.args), low.node.attrs, len(DEFAULTS[self.kind])
        assert functions is not None
        fields = {"fn": _native.UNARY[functions[0][0] if self.kind == "RNN" else "Tanh"], "alpha": 0.0, "beta": 0.0,
                  "clip": attrs.get("clip", np.inf), "functions": (), "input_forget": int(attrs.get("input_forget", 0))}
        if self._usual(low.args):
            return fields, None
        padded = [f for d in range(0, len(functions), per) for f in (functions[d:d + per] + [("None", 0.0, 0.0)] * 3)[:3]]
        parameters = np.array([f[1:] for f in padded], F32).ravel()
        return {**fields, "functions": tuple(_native.UNARY[f[0]] for f in padded)}, low.constant(parameters)

    # ---- weights ----

    def project(self, low: Lowering, blocks: Blocks, linear: bool) -> Tensor:
        """z = X W^T + bias of all time steps, gates in blocks; its first axes are those of X."""
        x, names = low.read(0), low.node.inputs
        rows = x.shape[0] * x.shape[1]
        flat = x.reshape((rows, x.shape[2]))
        if flat is None or (x.shape[2] != 1 and flat.strides[1] != 1):
            flat = low.read(0, "dense").reshape((rows, x.shape[2]))
        key = (self.kind, "input", names[1], *blocks.key)
        bias, z = None, low.temp((x.shape[0], x.shape[1], blocks.width))
        if low.args.has(3) and low.args.values[3] is None:
            bias = self._computed_bias(low, blocks, linear)
        elif low.args.has(3):
            bias = low.packed((*key, names[3], "bias"), lambda: blocks.rows(self._input_bias(low.args, linear)).ravel())
        matrix = z.reshape((rows, blocks.width))
        assert flat is not None and matrix is not None, "dense tensors take any shape"
        if low.args.values[1] is None:
            emit_matmul(low, matrix, flat, blocks.place_rows(low, low.read(1)).transpose((1, 0)), bias)
        else:
            emit_rows(low, matrix, flat, blocks.rows(low.args.constant(1)), key, bias)
        return z

    def _input_bias(self, args: Args, linear: bool) -> np.ndarray:
        """Wb + Rb, (D, G*H, 1); the recurrent bias of a linear GRU's new gate comes after its reset."""
        wb, rb = np.split(args.value(3), 2, 1)
        if self.kind == "GRU" and linear:
            rb = rb.copy()
            rb[:, 2 * rb.shape[1] // 3:] = 0
        return (wb + rb)[:, :, None]

    def _computed_bias(self, low: Lowering, blocks: Blocks, linear: bool) -> Tensor:
        """_input_bias() for biases that the run computes."""
        rows = blocks.gates * blocks.hidden
        wb, rb = (low.read(3, "dense").slice(1, first, rows) for first in (0, rows))
        both = low.temp(wb.shape)
        emit_binary(low, both, wb, rb, "Add")
        if self.kind == "GRU" and linear:
            low.copy(both.slice(1, 2 * blocks.hidden, blocks.hidden), wb.slice(1, 2 * blocks.hidden, blocks.hidden))
        return blocks.place_rows(low, both.view((*both.shape, 1))).view((blocks.width,))

    def state_weights(self, low: Lowering, blocks: Blocks, linear: bool) -> tuple[list[Tensor | None], dict[str, int]]:
        """[R as the step multiplies it, of bytes also numbers of its columns], and fields about them."""
        if low.args.values[2] is None:
            return [blocks.place_panels(low, low.read(2))], FLOATS
        key = (self.kind, "recurrent", low.node.input(2), *blocks.key)
        return [low.packed(key, lambda: blocks.panels(low.args.value(2)))], FLOATS

    def _extra(self, low: Lowering, blocks: Blocks, linear: bool) -> Tensor | None:
        """Peepholes of an LSTM, the recurrent bias of a linear GRU's new gate; three vectors a block."""
        def make() -> np.ndarray:
            d, _, h = self.hidden_rows(low.args)
            if self.kind == "LSTM":
                parts = low.args.value(7).reshape(d, 3, h)
            else:
                parts = np.zeros((d, 3, h), F32)
                parts[:, 2] = low.args.value(3)[:, 5 * h:]
            return blocks.vectors_of(parts)

        def computed(source: Tensor) -> Tensor:
            return blocks.place_rows(low, source, 3, ((0, 3, 1),))

        if self.kind == "LSTM" and low.args.has(7):
            if low.args.values[7] is None:
                p = low.read(7, "dense")
                return computed(p.view((*p.shape, 1)))
            return low.packed((self.kind, "peepholes", low.node.input(7), *blocks.key), make)
        if self.kind == "GRU" and linear and low.args.has(3):
            if low.args.values[3] is None:
                source, own = low.read(3, "dense"), low.temp((blocks.directions, 3 * blocks.hidden, 1))
                low.copy(own, scalar(low, 0.0).broadcast(own.shape))
                low.copy(own.slice(1, 2 * blocks.hidden, blocks.hidden),
                         source.view((*source.shape, 1)).slice(1, 5 * blocks.hidden, blocks.hidden))
                return computed(own)
            return low.packed((self.kind, "recurrent bias", low.node.input(3), *blocks.key), make)
        return None

    def _output(self, low: Lowering, n: int, d: int, h: int) -> Tensor | None:
        """Y with both directions of a row next to each other, as the Transpose and Reshape that follow want it."""
        if not low.node.outputs[0]:
            return None
        shape = low.output_spec(0).shape
        beside = (n * d * h, h, d * h, 1)
        return _plain(low, 0, dense_strides(shape) if _batch_first(low.args) or low.dense_output() else beside)


class Blocks:
    """The hidden units cut into blocks of a vector, all gates of a block together (FC_FIELDS_recurrent).

    parts   (first gate, past the last, blocks of a panel) of what a time step computes at once
    """

    def __init__(self, kind: str, directions: int, hidden: int, linear: bool):
        self.lanes = _native.vector_length()
        self.gates, self.directions, self.hidden = GATES[kind], directions, hidden
        self.count = -(-hidden // self.lanes)
        self.padded = self.count * self.lanes
        self.width = directions * self.gates * self.padded
        self.parts = PARTS["linear GRU" if kind == "GRU" and linear else kind]
        self.key = (directions, hidden, self.lanes, self.parts)

    def _cut(self, w: np.ndarray, gates: int) -> np.ndarray:
        """(D, gates*H, K) as (D, blocks, gates, lanes, K), zero filled."""
        full = np.zeros((self.directions, gates, self.padded, w.shape[2]), w.dtype)
        full[:, :, :self.hidden] = w.reshape(self.directions, gates, self.hidden, -1)
        return full.reshape(self.directions, gates, self.count, self.lanes, -1).swapaxes(1, 2)

    def rows(self, w: np.ndarray) -> np.ndarray:
        """(D, G*H, K) as (width, K): of each direction and part [block][gate][lane]."""
        cut, k = self._cut(w, self.gates), w.shape[2]
        return np.concatenate([cut[d, :, first:last].reshape(-1, k) for d in range(self.directions) for first, last, _ in self.parts])

    def panels(self, r: np.ndarray) -> np.ndarray:
        """(D, G*H, H) as panels [k][block][gate][lane] of each direction and part."""
        cut = self._cut(r, self.gates).transpose(0, 4, 1, 2, 3)
        return _aligned(np.concatenate([
            cut[d, :, b:b + group, first:last].ravel()
            for d in range(self.directions) for first, last, group in self.parts for b in range(0, self.count, group)]))

    def place_rows(self, low: Lowering, w: Tensor, gates: int = 0, parts: Sequence[tuple[int, int, int]] = ()) -> Tensor:
        """rows() of weights that the run computes, by copies."""
        gates, k = gates or self.gates, w.shape[2]
        target = low.temp((self.directions * gates * self.padded, k))
        low.copy(target, scalar(low, 0.0).broadcast(target.shape))
        for d in range(self.directions):
            for first, last, _ in parts or self.parts:
                for gate in range(first, last):
                    at = (d * gates + first) * self.padded + (gate - first) * self.lanes
                    self._place(low, target, at * k, ((last - first) * self.lanes * k, k, 1), w.select(0, d), gate)
        return target

    def place_panels(self, low: Lowering, r: Tensor) -> Tensor:
        """panels() of weights that the run computes, by copies."""
        h, target = self.hidden, low.temp((self.directions * self.gates * self.padded * self.hidden,))
        low.copy(target, scalar(low, 0.0).broadcast(target.shape))
        for d in range(self.directions):
            for first, last, group in self.parts:
                for gate, block in itertools.product(range(first, last), range(0, self.count, group)):
                    step, blocks = (last - first) * self.lanes, min(group, self.count - block)
                    at = ((d * self.gates + first) * self.padded + block * step) * h + (gate - first) * self.lanes
                    self._place(low, target, at, (step, 1, blocks * step), r.select(0, d), gate, block, blocks)
        return target

    def _place(self, low: Lowering, target: Tensor, at: int, strides: tuple[int, int, int], w: Tensor, gate: int, block: int = 0,
               blocks: int = 0) -> None:
        """The rows of one gate and of a run of blocks: element (block, lane, k) of w goes to `at` + its strides."""
        first, end = block * self.lanes, min((block + blocks) * self.lanes if blocks else self.hidden, self.hidden)
        whole = (end - first) // self.lanes
        for start, count, lanes in ((0, whole, self.lanes), (whole, 1, end - first - whole * self.lanes)):
            if count and lanes:
                source = w.slice(0, gate * self.hidden + first + start * self.lanes, count * lanes)
                where = Tensor(target.buffer, (count, lanes, w.shape[1]), strides, target.offset + at + start * strides[0])
                low.copy(where, source.view((count, lanes, w.shape[1])))

    def vectors_of(self, parts: np.ndarray) -> np.ndarray:
        """(D, 3, H) as [direction][block][3][lane]."""
        return _aligned(self._cut(parts.reshape(self.directions, -1, 1), 3).ravel())


def _aligned(array: np.ndarray) -> np.ndarray:
    packed = _native.aligned_empty(array.size)
    packed[:] = array
    return packed


def _plain(low: Lowering, i: int, strides: tuple[int, ...] | None = None) -> Tensor | None:
    """Output i where the step can write it: with these strides (default dense); None when it is omitted."""
    if i >= len(low.node.outputs) or not low.node.outputs[i]:
        return None
    shape = low.output_spec(i).shape
    wanted = dense_strides(shape) if strides is None else strides
    if low.dense_output(i):
        return low.write(i, wanted)
    return low.temp(shape, F32, wanted)


def _directions(args: Args) -> int:
    return 2 if args.node.attrs.get("direction", "forward") == "bidirectional" else 1


def _batch_first(args: Args) -> bool:
    return bool(args.node.attrs.get("layout", 0))


def _time_and_batch(args: Args) -> tuple[int, int]:
    first, second = args.spec(0).shape[:2]
    return (second, first) if _batch_first(args) else (first, second)


def _order(args: Args, strides: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of Y along time, direction and batch."""
    return (strides[1], strides[2], strides[0]) if _batch_first(args) else strides[:3]


OPERATORS: dict[str, Op] = {kind: Recurrent(kind) for kind in CELLS}
