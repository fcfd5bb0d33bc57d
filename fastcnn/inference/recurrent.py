"""Shapes of RNN, GRU and LSTM."""
from __future__ import annotations

from fastcnn.inference.site import Mismatch, Outputs, Site
from fastcnn.ir.graph import Dim

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def recurrent(site: Site) -> Outputs:
    """Y (time, directions, N, hidden), Y_h and Y_c (directions, N, hidden); with layout=1 the batch comes first."""
    x, w, r = (site.shape(i) for i in range(3))
    for shape in (x, w, r):
        if shape is not None and len(shape) != 3:
            raise Mismatch("X, W and R do not fit")
    directions = 2 if site.attrs.get("direction", "forward") == "bidirectional" else 1
    hidden: Dim = r[2] if r is not None and isinstance(r[2], int) else site.attrs.get("hidden_size") or (r[2] if r is not None else None)
    inputs: Dim = x[2] if x is not None else None
    for shape, last in ((w, inputs), (r, hidden)):
        wanted = (directions, GATES[site.node.op_type] * hidden if isinstance(hidden, int) else None, last)
        if shape is not None and any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(shape, wanted)):
            raise Mismatch("X, W and R do not fit")
    time, batch = (None, None) if x is None else (x[0], x[1])
    if site.attrs.get("layout", 0):
        batch, time = time, batch
        state, y = [batch, directions, hidden], [batch, time, directions, hidden]
    else:
        state, y = [directions, batch, hidden], [time, directions, batch, hidden]
    return [y, state, state][:len(site.node.outputs)]
