"""Boxes inside a graph: deltas to corners, and the best of them without overlaps."""
from __future__ import annotations

import numpy as np
from onnx import TensorProto

from models.writer import Writer


def _columns(net: Writer, name: str, boxes: np.ndarray) -> str:
    """The constant `boxes` (n, columns)."""
    return net.constant(name, boxes.astype(np.float32))


def decode(net: Writer, name: str, deltas: str, anchors: np.ndarray | tuple[str, str], weights: tuple[float, float],
           image: tuple[int, int]) -> str:
    """Corners (..., x1 y1 x2 y2) inside the image: centre = anchor's + delta / weight * anchor's size, size = anchor's e^(delta / weight).

    deltas   (..., 4): x, y, width, height
    anchors  (n, 4) corners as constants, or (centre, size) in the graph, each (..., 2)
    weights  of centre and size
    image    (height, width)
    """
    moved, grown = net.nodes("Split", [deltas, net.ints(2, 2)], (0, 0), f"{name}.split", axis=-1)
    if isinstance(anchors, np.ndarray):
        centre = _columns(net, f"{name}.centre", (anchors[:, :2] + anchors[:, 2:]) / 2)
        size = _columns(net, f"{name}.size", anchors[:, 2:] - anchors[:, :2])
    else:
        centre, size = anchors
    moved = net.node("Mul", [net.node("Div", [moved, net.scalar(weights[0])]), size])
    centre = net.node("Add", [moved, centre])
    grown = net.node("Exp", [net.node("Div", [grown, net.scalar(weights[1])])])
    half = net.node("Mul", [net.node("Mul", [grown, size]), net.scalar(0.5)])
    corners = net.node("Concat", [net.node("Sub", [centre, half]), net.node("Add", [centre, half])], axis=-1)
    height, width = image
    limit = net.constant(f"{name}.limit", np.array([width, height, width, height], np.float32))
    return net.node("Min", [net.node("Max", [corners, net.scalar(0.0)]), limit], name=f"{name}.boxes")


def suppress(net: Writer, name: str, boxes: str, scores: str, *, iou: float, threshold: float, per_class: int) -> str:
    """(picked, 3) int64: image, class, box of what NonMaxSuppression keeps.  boxes: (images, n, 4); scores: (images, classes, n)."""
    limits = [net.ints(per_class), net.scalar(iou), net.scalar(threshold)]
    return net.node("NonMaxSuppression", [boxes, scores, *limits], name=f"{name}.picked")


def column(net: Writer, rows: str, k: int) -> str:
    """rows[:, k]."""
    return net.node("Gather", [rows, net.constant(f"index_{k}", np.array(k, np.int64))], axis=1)


def best(net: Writer, scores: str, boxes: str, labels: str, limit: int) -> None:
    """Declares the outputs boxes (n, 4), scores (n,), labels (n,): the `limit` highest scores of all classes, in their order."""
    count = net.node("Shape", [scores])
    limited = net.node("Min", [count, net.ints(limit)])
    top, order = net.nodes("TopK", [scores, limited], (0, 0), "best", axis=0)
    net.output(net.node("Gather", [boxes, order], axis=0), "boxes", ("detections", 4))
    net.output(top, "scores", ("detections",))
    net.output(net.node("Gather", [labels, order], axis=0), "labels", ("detections",), TensorProto.INT64)
