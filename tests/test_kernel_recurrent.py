"""The recurrent step (cells lstm, gru, gru_reset, gru_update and rnn) against float64: sizes around a vector, tiles of rows, threads."""
from __future__ import annotations

import numpy as np
import pytest
from step_helper import Guarded, assert_close, run_step

from fastcnn import _native
from fastcnn.ops.recurrence.recurrent import CELLS, GRU_LINEAR, Blocks

STEPS = 6
SPELLED = {"RNN": ["Tanh"] * 3, "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh", "None"]}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell_of(name, gates, extra, h, c, r):
    """(h, c) after one step. gates: the input's share (n, G*H); r (G*H, H); extra (3, H) or None."""
    g = lambda k, x: x[:, k * h.shape[1]:(k + 1) * h.shape[1]]  # noqa: E731
    if name == "RNN":
        return np.tanh(gates + h @ r.T), c
    hidden = h @ r.T
    if name == "LSTM":
        p = np.zeros((3, h.shape[1])) if extra is None else extra
        i, o, f, new = (g(k, gates + hidden) for k in range(4))
        after = sigmoid(f + p[2] * c) * c + sigmoid(i + p[0] * c) * np.tanh(new)
        return sigmoid(o + p[1] * after) * np.tanh(after), after
    u, reset = sigmoid(g(0, gates + hidden)), sigmoid(g(1, gates + hidden))
    if name == "linear GRU":
        new = np.tanh(g(2, gates) + reset * (g(2, hidden) + (0 if extra is None else extra[2])))
    else:
        new = np.tanh(g(2, gates) + (reset * h) @ g(2, r.T).astype(np.float64))
    return (1 - u) * new + u * h, c


def case(name, n, h, directions, extra, lens, threads, spelled=False):
    """Runs the step on guarded buffers; returns (y, y_h) and what they should be. spelled: the same functions, named one by one."""
    kind = "GRU" if name == "linear GRU" else name
    blocks = Blocks(kind, directions, h, name == "linear GRU")
    rng = np.random.default_rng(h * 31 + n)
    z, r, h0 = (rng.normal(size=s).astype(np.float32) for s in (
        (STEPS, n, directions, blocks.gates * h), (directions, blocks.gates * h, h), (directions, n, h)))
    r /= np.float32(np.sqrt(h))
    more = rng.normal(size=(directions, 3, h)).astype(np.float32) if extra else None
    if name == "linear GRU" and extra:
        more[:, :2] = 0
    rows = np.stack([blocks.rows(z[t, k].reshape(directions, -1, 1)).ravel() for t in range(STEPS) for k in range(n)])
    y, y_h = (Guarded(np.zeros(s, np.float32), output=True) for s in ((STEPS, directions, n, h), (directions, n, h)))
    state = Guarded(np.zeros(4 * directions * n * blocks.padded, np.float32), output=True)
    status = run_step(
        "recurrent", [state, y, y_h, None, Guarded(rows), Guarded(blocks.panels(r)), Guarded(blocks.vectors_of(more)) if extra else None,
                      None if lens is None else np.array(lens, np.int32), Guarded(h0), None,
                      Guarded(np.zeros(6 * directions, np.float32)) if spelled else None], threads,
        cell=GRU_LINEAR if name == "linear GRU" else CELLS[kind], steps=STEPS, n=n, h=h, directions=directions, reverse=0,
        z_step=n * blocks.width, z_row=blocks.width, y_step=directions * n * h, y_direction=n * h, y_row=h,
        state_direction=n * h, state_row=h, fn=_native.UNARY["Tanh"], alpha=0, beta=0, clip=np.inf,
        functions=[_native.UNARY[f] for f in SPELLED[kind]] * directions if spelled else (), input_forget=0, nv=0, zeros=0)
    return status, (y.array, y_h.array), expected(name, z, r, more, h0, lens)


def expected(name, z, r, extra, h0, lens):
    z, r, h0 = (a.astype(np.float64) for a in (z, r, h0))
    y, last = np.zeros((STEPS, *h0.shape)), np.zeros(h0.shape)
    for d in range(len(h0)):
        for k in range(h0.shape[1]):
            h, c = h0[d, k:k + 1], np.zeros((1, h0.shape[2]))
            times = range(STEPS if lens is None else min(lens[k], STEPS))
            for t in reversed(times) if d else times:
                h, c = cell_of(name, z[t, k:k + 1, d], None if extra is None else extra[d].astype(np.float64), h, c, r[d])
                y[t, d, k] = h
            last[d, k] = h
    return y, last


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "linear GRU"])
@pytest.mark.parametrize("n, h", [(1, 1), (1, 16), (3, 17), (15, 8), (2, 67), (7, 33)])
def test_cells(name, n, h, isa):
    for directions in (1, 2):
        for extra in (False, True) if name in ("LSTM", "linear GRU") else (False,):
            status, got, wanted = case(name, n, h, directions, extra, None, 1)
            assert status == 0
            for a, b in zip(got, wanted):
                assert_close(a, b, 3e-6, name)
            for threads in (2, 3):
                for a, b in zip(case(name, n, h, directions, extra, None, threads)[1], got):
                    assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name, h", [("RNN", 730), ("LSTM", 365), ("GRU", 420), ("linear GRU", 420)])
def test_threads_that_share_the_units_of_few_rows(name, h, isa):
    """As many hidden units as make it worth while to meet after every time step."""
    status, got, wanted = case(name, 1, h, 1, False, None, 1)
    assert status == 0
    for a, b in zip(got, wanted):
        assert_close(a, b, 5e-6, name)
    for threads in (2, 5):
        for directions in (1, 2):
            alone = case(name, 1, h, directions, False, None, 1)[1]
            for a, b in zip(case(name, 1, h, directions, False, None, threads)[1], alone):
                assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "linear GRU"])
def test_sequences_of_different_lengths(name, isa):
    for threads in (1, 2):
        status, got, wanted = case(name, 4, 19, 2, False, [STEPS, 0, 1, 4], threads)
        assert status == 0
        for a, b in zip(got, wanted):
            assert_close(a, b, 3e-6, name)


@pytest.mark.parametrize("length", [-1, STEPS + 1])
def test_lengths_outside_are_refused(length, isa):
    assert case("LSTM", 2, 5, 1, False, [1, length], 2)[0] == 1


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "linear GRU"])
def test_functions_named_one_by_one(name, isa):
    for n, h, directions in ((1, 1, 1), (3, 17, 2), (2, 67, 2)):
        for extra in (False, True) if name in ("LSTM", "linear GRU") else (False,):
            status, got, wanted = case(name, n, h, directions, extra, None, 1, spelled=True)
            assert status == 0
            for a, b, c in zip(got, wanted, case(name, n, h, directions, extra, None, 3, spelled=True)[1]):
                assert_close(a, b, 3e-6, name)
                assert a.tobytes() == c.tobytes()
