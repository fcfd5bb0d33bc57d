"""If, Loop, Scan and optionals. The caller says how a body runs: by evaluate(), node by node, or by the planner's programs.

onnx.reference runs bodies by its own operators only, glues the scan outputs of a Loop together along their first axis,
and knows no Scan-8, no axes or directions of Scan and no empty optional out of an If. Here an optional that holds x is
x, an empty one None.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcnn.ir.graph import Graph, Node
from fastcnn.onnx_proto.types import element_of, numpy_type

Value = Any
# (body, its inputs in order) -> its outputs in order
Run = Callable[[Graph, Sequence[Value]], list[Value]]


def if_(node: Node, inputs: Sequence[Value], run: Run) -> list[Value]:
    """The outputs of then_branch where the condition holds, of else_branch otherwise."""
    taken = "then_branch" if bool(inputs[0].item()) else "else_branch"
    return run(node.bodies[taken], [])


def loop(node: Node, inputs: Sequence[Value], run: Run) -> list[Value]:
    """Final carried values, then each scan output stacked along a new first axis, of at most M rounds while cond holds."""
    body = node.bodies["body"]
    limit, condition, *carried = (*inputs, None, None)[:max(len(inputs), 2)]
    rounds = None if limit is None else int(limit.item())
    going, true = condition is None or bool(condition.item()), np.array(True)
    count, done = 1 + len(carried), 0
    scanned = len(body.outputs) > count
    rows: list[list[Value]] = []
    while going and (rounds is None or done < rounds):
        outputs = run(body, [np.array(done), true, *carried])
        going, carried = bool(outputs[0].item()), outputs[1:count]
        done += 1
        if scanned:
            rows.append(outputs[count:])
    return [*carried, *_stacked(body, rows, count)]


def _stacked(body: Graph, rows: Sequence[Sequence[Value]], first: int) -> list[np.ndarray]:
    """Scan outputs, which are the body's from `first` on; after no round at all what their types say."""
    if rows:
        return [_stack(column) for column in zip(*rows)]
    return [np.zeros((0, *(d if isinstance(d, int) else 0 for d in info.shape or ())), numpy_type(element_of(info.type) or "float"))
            for info in body.outputs[first:]]


def _stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    """np.stack(rows): one after the other where they are of one shape with axes, in a quarter of the time."""
    shape = rows[0].shape
    if not shape or any(row.shape != shape for row in rows):
        return np.stack(rows)
    return np.concatenate(rows).reshape(len(rows), *shape)


def scan(node: Node, inputs: Sequence[Value], run: Run) -> list[Value]:
    """Final states, then scan outputs, of the body run over slices of the scan inputs; batched and with lengths before opset 9."""
    if node.version < 9:
        return _scan_batches(node, inputs, run)
    body, count, attrs = node.bodies["body"], node.attrs["num_scan_inputs"], node.attrs
    states, scanned = list(inputs[:-count]), inputs[-count:]
    axes, backward = attrs.get("scan_input_axes") or [0] * count, attrs.get("scan_input_directions") or [0] * count
    slices = [_rows_of(np.moveaxis(x, a, 0), b) for x, a, b in zip(scanned, axes, backward)]
    states, outputs = _scan_rounds(body, states, slices, len(slices[0]), run)
    axes, backward = attrs.get("scan_output_axes") or [0] * len(outputs), attrs.get("scan_output_directions") or [0] * len(outputs)
    return states + [np.moveaxis(np.flip(y, 0) if b else y, 0, a) for y, a, b in zip(outputs, axes, backward)]


def _rows_of(x: np.ndarray, backward: int) -> np.ndarray:
    return np.ascontiguousarray(np.flip(x, 0) if backward else x)


def _scan_rounds(body: Graph, states: list[Value], slices: Sequence[np.ndarray], rounds: int,
                 run: Run) -> tuple[list[Value], list[np.ndarray]]:
    rows = []
    for k in range(rounds):
        outputs = run(body, [*states, *(x[k, ...] for x in slices)])
        rows.append(outputs[len(states):])
        states = outputs[:len(states)]
    return states, _stacked(body, rows, len(states))


def _scan_batches(node: Node, inputs: Sequence[Value], run: Run) -> list[Value]:
    """Scan-8: every input has a batch axis first, scanned ones the sequence second; rows past a sequence's length are zeros."""
    body, count = node.bodies["body"], node.attrs["num_scan_inputs"]
    lengths, states, scanned = inputs[0], inputs[1:-count], inputs[-count:]
    backward, extent = node.attrs.get("directions") or [0] * count, scanned[0].shape[1]
    results = []
    for n in range(len(scanned[0])):
        rounds = extent if lengths is None else int(lengths[n])
        slices = [_rows_of(x[n, :rounds], b) for x, b in zip(scanned, backward)]
        final, outputs = _scan_rounds(body, [s[n, ...] for s in states], slices, rounds, run)
        padded = [np.concatenate([y, np.zeros((extent - rounds, *y.shape[1:]), y.dtype)]) for y in outputs]
        results.append([*final, *padded])
    return [np.stack(column) for column in zip(*results)]


def optional(node: Node, inputs: Sequence[Value], run: Run) -> list[Value]:
    """An optional that holds the input; an empty one, None, without."""
    return [inputs[0] if inputs else None]


def has_element(node: Node, inputs: Sequence[Value], run: Run) -> list[Value]:
    """Whether an optional has a value."""
    return [np.array(bool(inputs) and inputs[0] is not None)]


# (node, inputs, how to run a body) -> outputs
CONTROL_FLOW: dict[str, Callable[[Node, Sequence[Value], Run], list[Value]]] = {
    "If": if_,
    "Loop": loop,
    "Optional": optional,
    "OptionalHasElement": has_element,
    "Scan": scan,
}
