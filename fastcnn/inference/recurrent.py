"""Shapes of RNN, GRU and LSTM, and of com.microsoft's DynamicQuantizeLSTM."""
from __future__ import annotations

from fastcnn.inference.site import Mismatch, Outputs, Site
from fastcnn.inference.sizes import times
from fastcnn.ir.graph import Dim, Shape

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def recurrent(site: Site) -> Outputs:
    """Y (time, directions, N, hidden), Y_h and Y_c (directions, N, hidden); with layout=1 the batch comes first."""
    x, r = site.shape(0), site.shape(2)
    if any(shape is not None and len(shape) != 3 for shape in (x, r)):
        raise Mismatch("X, W and R do not fit")
    directions = 2 if site.attrs.get("direction", "forward") == "bidirectional" else 1
    hidden: Dim = r[2] if r is not None and isinstance(r[2], int) else site.attrs.get("hidden_size") or (r[2] if r is not None else None)
    inputs: Dim = x[2] if x is not None else None
    gates = GATES[site.node.op_type]
    for i, last in ((1, inputs), (2, hidden)):
        site.expect(i, (directions, times(hidden, gates), last), "X, W and R do not fit")
    return _outputs(site, x, directions, hidden, gates)


def dynamic_lstm(site: Site) -> Outputs:
    """The same with W (directions, inputs, 4 hidden) and R (directions, hidden, 4 hidden)."""
    x, r = site.shape(0), site.shape(2)
    if any(shape is not None and len(shape) != 3 for shape in (x, r)):
        raise Mismatch("X, W and R do not fit")
    directions = 2 if site.attrs.get("direction", "forward") == "bidirectional" else 1
    hidden: Dim = r[1] if r is not None else site.attrs.get("hidden_size")
    for i, rows in ((1, None if x is None else x[2]), (2, hidden)):
        site.expect(i, (directions, rows, times(hidden, 4)), "X, W and R do not fit")
    return _outputs(site, x, directions, hidden, 4)


def _outputs(site: Site, x: Shape | None, directions: int, hidden: Dim, gates: int) -> Outputs:
    """Shapes of Y, Y_h and Y_c; the inputs behind W and R must fit."""
    time, batch = (None, None) if x is None else (x[0], x[1])
    if site.attrs.get("layout", 0):
        batch, time = time, batch
        state, y = [batch, directions, hidden], [batch, time, directions, hidden]
    else:
        state, y = [directions, batch, hidden], [time, directions, batch, hidden]
    bias, peepholes = [directions, times(hidden, 2 * gates)], [directions, times(hidden, 3)]
    for i, shape in ((3, bias), (4, [batch]), (5, state), (6, state), (7, peepholes)):
        site.expect(i, shape)
    return [y, state, state][:len(site.node.outputs)]
