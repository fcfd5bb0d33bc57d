"""LSTM, GRU and RNN: the input projection of all time steps as one matrix product, then one step that walks through time."""
from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn import _native
from fastcnn.ops.base import F32, Args, Lowering, Op, Spec, bad_shape
from fastcnn.ops.linear import emit_rows
from fastcnn.tensor import Tensor, dense_strides

CELLS = {"RNN": 0, "LSTM": 1, "GRU": 2}
GRU_LINEAR = 3                      # linear_before_reset
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
DEFAULTS = {"RNN": ["tanh"], "LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
RNN_FUNCTIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
# Gates computed at once, first to past the last, and the blocks of a panel: four vectors hide the latency of an FMA.
PARTS = {"RNN": ((0, 1, 4),), "LSTM": ((0, 4, 1),), "GRU": ((0, 2, 2), (2, 3, 4)), "linear GRU": ((0, 3, 1),)}


class Recurrent(Op):
    """Y[t] = cell(X[t] W^T + b, Y[t-1] R^T) in one or both directions; Y_h and Y_c are the last states.

    X: (T, N, I), W: (D, G*H, I), R: (D, G*H, H), B: (D, 2*G*H), sequence_lens: (N), initial states (D, N, H), P: (D, 3*H);
    layout 1 has the batch first. Weights are constants. ONNX RNN, GRU, LSTM-7 to 22. Other activations than the default ones
    (RNN: one each of RNN_FUNCTIONS), input_forget, and clip where a gate is the sum of more than one product, go to the fallback.
    """

    def __init__(self, kind: str):
        self.kind = kind

    def native(self, args: Args) -> bool:
        known = all(args.values[i] is not None for i in (1, 2, 3, 7) if args.has(i))
        floats = all(s is None or s.dtype == (np.int32 if i == 4 else F32) for i, s in enumerate(args.specs))
        return known and floats and args.spec(0).rank == 3 and args.spec(0).size > 0 and self._attributes(args)

    def infer(self, args: Args) -> list[Spec]:
        x, w, r = args.spec(0).shape, args.spec(1).shape, args.spec(2).shape
        gates = GATES[self.kind]
        if len(r) != 3 or r[1] != gates * r[2] or w != (r[0], r[1], x[2]) or r[0] != _directions(args):
            raise bad_shape(args, "X, W and R do not fit")
        steps, n, d, h = *_time_and_batch(args), r[0], r[2]
        state = (n, d, h) if _batch_first(args) else (d, n, h)
        wanted = {3: (d, 2 * gates * h), 4: (n,), 5: state, 6: state, 7: (d, 3 * h)}
        for i, shape in wanted.items():
            if args.has(i) and args.spec(i).shape != shape:
                raise bad_shape(args, f"input {i} must be {list(shape)}")
        y = (n, steps, d, h) if _batch_first(args) else (steps, d, n, h)
        return [Spec(F32, shape) for shape in (y, state, state)][:len(args.node.outputs)]

    def lower(self, low: Lowering) -> None:
        d, rows, h = low.args.spec(2).shape
        steps, n = _time_and_batch(low.args)
        linear = bool(low.node.attrs.get("linear_before_reset", 0))
        blocks = _Blocks(self.kind, d, h, linear)
        z = self._project(low, blocks, linear)
        z_step, z_row = (z.strides[0], z.strides[1]) if not _batch_first(low.args) else (z.strides[1], z.strides[0])
        y = self._output(low, n, d, h)
        outputs = [_plain(low, i) for i in (1, 2)]
        state = low.temp((4, d, n, blocks.padded))
        optional = [low.read(i, "dense") if low.args.has(i) else None for i in (4, 5, 6)]
        y_step, y_direction, y_row = _order(low.args, y.strides) if y else (0, 0, 0)
        state_row, state_direction = (d * h, h) if _batch_first(low.args) else (h, n * h)
        low.emit("recurrent", [state, y, *outputs, z, self._weights(low, blocks, linear), self._extra(low, blocks, linear), *optional],
                 steps * n * d * rows * h, cell=GRU_LINEAR if linear and self.kind == "GRU" else CELLS[self.kind], steps=steps, n=n, h=h,
                 directions=d, reverse=int(low.node.attrs.get("direction", "forward") == "reverse"), z_step=z_step, z_row=z_row,
                 y_step=y_step, y_direction=y_direction, y_row=y_row, state_direction=state_direction,
                 state_row=state_row, **self._function(low.node.attrs))
        for i, target in enumerate([y, *outputs]):
            if target is not None:
                low.alias(i, target)

    # ---- attributes ----

    def _attributes(self, args: Args) -> bool:
        """Whether the native cell has these attributes."""
        attrs, d = args.node.attrs, _directions(args)
        names = [name.lower() for name in attrs.get("activations") or DEFAULTS[self.kind] * d]
        if self.kind == "RNN":
            if len(set(names)) != 1 or names[0] not in RNN_FUNCTIONS:
                return False
        elif names != DEFAULTS[self.kind] * d:
            return False
        sums = (self.kind == "LSTM" and args.has(7)) or (self.kind == "GRU" and attrs.get("linear_before_reset", 0))
        return not attrs.get("input_forget", 0) and not ("clip" in attrs and sums)

    def _function(self, attrs: dict[str, Any]) -> dict[str, float]:
        name = (attrs.get("activations") or ["tanh"])[0].lower() if self.kind == "RNN" else "tanh"
        return {"fn": _native.UNARY[RNN_FUNCTIONS[name]], "alpha": 0.0, "beta": 0.0, "clip": attrs.get("clip", np.inf)}

    # ---- weights ----

    def _project(self, low: Lowering, blocks: _Blocks, linear: bool) -> Tensor:
        """z = X W^T + bias of all time steps, gates in blocks; its first axes are those of X."""
        x, names = low.read(0), low.node.inputs
        rows = x.shape[0] * x.shape[1]
        flat = x.reshape((rows, x.shape[2]))
        if flat is None or (x.shape[2] != 1 and flat.strides[1] != 1):
            flat = low.read(0, "dense").reshape((rows, x.shape[2]))
        key = (self.kind, "input", names[1], *blocks.key)
        weights = blocks.rows(np.asarray(low.args.value(1)))
        bias = None
        if low.args.has(3):
            bias = low.packed((*key, names[3], "bias"), lambda: blocks.rows(self._input_bias(low.args, linear)).ravel())
        z = low.temp((x.shape[0], x.shape[1], blocks.width))
        matrix = z.reshape((rows, blocks.width))
        assert flat is not None and matrix is not None, "dense tensors take any shape"
        emit_rows(low, matrix, flat, weights, key, bias)
        return z

    def _input_bias(self, args: Args, linear: bool) -> np.ndarray:
        """Wb + Rb, (D, G*H, 1); the recurrent bias of a linear GRU's new gate comes after its reset."""
        wb, rb = np.split(args.value(3), 2, 1)
        if self.kind == "GRU" and linear:
            rb = rb.copy()
            rb[:, 2 * rb.shape[1] // 3:] = 0
        return (wb + rb)[:, :, None]

    def _weights(self, low: Lowering, blocks: _Blocks, linear: bool) -> Tensor:
        return low.packed((self.kind, "recurrent", low.node.input(2), *blocks.key), lambda: blocks.panels(low.args.value(2)))

    def _extra(self, low: Lowering, blocks: _Blocks, linear: bool) -> Tensor | None:
        """Peepholes of an LSTM, the recurrent bias of a linear GRU's new gate; three vectors a block."""
        def make() -> np.ndarray:
            d, h = low.args.spec(2).shape[::2]
            if self.kind == "LSTM":
                parts = low.args.value(7).reshape(d, 3, h)
            else:
                parts = np.zeros((d, 3, h), F32)
                parts[:, 2] = low.args.value(3)[:, 5 * h:]
            return blocks.vectors_of(parts)

        if self.kind == "LSTM" and low.args.has(7):
            return low.packed((self.kind, "peepholes", low.node.input(7), *blocks.key), make)
        if self.kind == "GRU" and linear and low.args.has(3):
            return low.packed((self.kind, "recurrent bias", low.node.input(3), *blocks.key), make)
        return None

    def _output(self, low: Lowering, n: int, d: int, h: int) -> Tensor | None:
        """Y with both directions of a row next to each other, as the Transpose and Reshape that follow want it."""
        if not low.node.outputs[0]:
            return None
        shape = low.output_spec(0).shape
        beside = (n * d * h, h, d * h, 1)
        return _plain(low, 0, dense_strides(shape) if _batch_first(low.args) or low.dense_output() else beside)


class _Blocks:
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
        full = np.zeros((self.directions, gates, self.padded, w.shape[2]), F32)
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


RECURRENT: dict[str, Op] = {kind: Recurrent(kind) for kind in CELLS}
