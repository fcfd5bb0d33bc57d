"""LSTM and GRU in numpy: onnx.reference ignores sequence_lens, activations, clip and input_forget."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Node

Function = Callable[[np.ndarray], np.ndarray]


def _activations(node: Node, default: list[str], directions: int) -> list[Function]:
    """The functions of all directions, with their alpha and beta taken in order."""
    names = node.attrs.get("activations") or default * directions
    alphas, betas = list(node.attrs.get("activation_alpha", [])), list(node.attrs.get("activation_beta", []))
    return [_function(name, alphas, betas) for name in names]


def _function(name: str, alphas: list[float], betas: list[float]) -> Function:
    key = name.lower()
    plain: dict[str, Function] = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0),
        "softsign": lambda x: x / (1 + np.abs(x)), "softplus": lambda x: np.logaddexp(0, x)}
    if key in plain:
        return plain[key]
    defaults = {"leakyrelu": (0.01, 0.0), "thresholdedrelu": (1.0, 0.0), "elu": (1.0, 0.0), "hardsigmoid": (0.2, 0.5),
                "scaledtanh": (1.0, 1.0), "affine": (1.0, 0.0)}
    if key not in defaults:
        raise ValueError(f"activation {name!r}")
    a = alphas.pop(0) if alphas else defaults[key][0]
    b = betas.pop(0) if betas and key in ("hardsigmoid", "scaledtanh", "affine") else defaults[key][1]
    return {"leakyrelu": lambda x: np.where(x < 0, a * x, x), "thresholdedrelu": lambda x: np.where(x > a, x, 0),
            "elu": lambda x: np.where(x < 0, a * np.expm1(x), x), "hardsigmoid": lambda x: np.clip(a * x + b, 0, 1),
            "scaledtanh": lambda x: a * np.tanh(b * x), "affine": lambda x: a * x + b}[key]


def _scan(
    node: Node,
    x: np.ndarray,
    lengths: np.ndarray | None,
    states: list[np.ndarray | None],
    step: Callable[..., list[np.ndarray]],
    hidden: int,
    directions: int,
) -> list[np.ndarray]:
    """Y (T, D, N, H) and the last states (D, N, H) of `step(direction, x_t, states) -> states`."""
    steps, batch = x.shape[:2]
    lengths = np.full(batch, steps) if lengths is None else lengths
    y = np.zeros((steps, directions, batch, hidden))
    finals = [np.zeros((directions, batch, hidden)) for _ in states]
    for d in range(directions):
        backward = node.attrs.get("direction", "forward") == "reverse" or d == 1
        current = [np.zeros((batch, hidden)) if s is None else s[d].astype(np.float64) for s in states]
        for i in range(steps):
            t = np.where(i < lengths, lengths - 1 - i if backward else i, 0).astype(np.int64)
            alive = (i < lengths)[:, None]
            new = step(d, x[t, np.arange(batch)], current)
            current = [np.where(alive, n, c) for n, c in zip(new, current)]
            rows = np.nonzero(alive[:, 0])[0]
            y[t[rows], d, rows] = current[0][rows]
        for final, state in zip(finals, current):
            final[d] = state
    return [y, *finals]


def _ordered(node: Node, outputs: list[np.ndarray], dtype: np.dtype) -> list[np.ndarray]:
    """layout=1 has the batch first."""
    if node.attrs.get("layout", 0):
        outputs = [outputs[0].transpose(2, 0, 1, 3)] + [s.transpose(1, 0, 2) for s in outputs[1:]]
    return [y.astype(dtype) for y in outputs]


def _prepare(node: Node, inputs: Sequence[Any], count: int) -> tuple[list[Any], int]:
    values: list[Any] = [None if v is None else np.asarray(v) for v in (*inputs, *[None] * count)[:count]]
    directions = values[1].shape[0]
    if node.attrs.get("layout", 0):
        values[0] = values[0].transpose(1, 0, 2)
        values[5:7] = [None if v is None else v.transpose(1, 0, 2) for v in values[5:7]]
    return values, directions


# rows (N, inputs) of a direction -> their product with its weights (N, 4 hidden).
Product = Callable[[int, np.ndarray], np.ndarray]


def lstm(node: Node, inputs: Sequence[Any]) -> list[np.ndarray]:
    """i, o, f, c gates in ONNX's order; Y, Y_h, Y_c."""
    values, directions = _prepare(node, inputs, 8)
    w, r = values[1:3]
    return run_lstm(node, values, r.shape[2], directions, lambda d, x: x @ w[d].T, lambda d, h: h @ r[d].T)


def run_lstm(node: Node, values: Sequence[Any], hidden: int, directions: int, of_x: Product, of_h: Product) -> list[np.ndarray]:
    """LSTM whose products with W and R are given; values: the operator's inputs, of which W and R are not looked at."""
    x, _, _, b, lengths, h0, c0, peephole = values
    clip = node.attrs.get("clip", np.inf)
    functions = _activations(node, ["Sigmoid", "Tanh", "Tanh"], directions)
    bias = np.zeros((directions, 8 * hidden)) if b is None else b
    peep = np.zeros((directions, 3 * hidden)) if peephole is None else peephole

    def step(d: int, x_t: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
        h, c = states
        f, g, out = functions[3 * d:3 * d + 3]
        gates = of_x(d, x_t) + of_h(d, h) + bias[d, :4 * hidden] + bias[d, 4 * hidden:]
        i, o, forget, new = np.split(gates, 4, -1)
        p_i, p_o, p_f = np.split(peep[d], 3)
        i = f(np.clip(i + p_i * c, -clip, clip))
        forget = 1 - i if node.attrs.get("input_forget", 0) else f(np.clip(forget + p_f * c, -clip, clip))
        c = forget * c + i * g(np.clip(new, -clip, clip))
        o = f(np.clip(o + p_o * c, -clip, clip))
        return [o * out(c), c]

    return _ordered(node, _scan(node, x, lengths, [h0, c0], step, hidden, directions), x.dtype)[
        : max(len(node.outputs), 1)
    ]


def gru(node: Node, inputs: Sequence[Any]) -> list[np.ndarray]:
    """z, r, h gates in ONNX's order; Y, Y_h."""
    (x, w, r, b, lengths, h0), directions = _prepare(node, inputs, 6)
    hidden, clip = r.shape[2], node.attrs.get("clip", np.inf)
    functions = _activations(node, ["Sigmoid", "Tanh"], directions)
    bias = np.zeros((directions, 6 * hidden)) if b is None else b

    def step(d: int, x_t: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
        h, (f, g) = states[0], functions[2 * d:2 * d + 2]
        w_z, w_r, w_h = np.split(x_t @ w[d].T + bias[d, :3 * hidden], 3, -1)
        r_zr, r_h, b_h = r[d, :2 * hidden], r[d, 2 * hidden:], bias[d, 5 * hidden:]
        u_z, u_r = np.split(h @ r_zr.T + bias[d, 3 * hidden:5 * hidden], 2, -1)
        z, reset = f(np.clip(w_z + u_z, -clip, clip)), f(np.clip(w_r + u_r, -clip, clip))
        inner = reset * (h @ r_h.T + b_h) if node.attrs.get("linear_before_reset", 0) else (reset * h) @ r_h.T + b_h
        new = g(np.clip(w_h + inner, -clip, clip))
        return [(1 - z) * new + z * h]

    return _ordered(node, _scan(node, x, lengths, [h0], step, hidden, directions), x.dtype)[:max(len(node.outputs), 1)]
