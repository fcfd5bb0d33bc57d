"""A pooling over a large window becomes one over its columns and one over its rows."""
from __future__ import annotations

from fastcnn.ir.graph import Graph, Node
from fastcnn.passes.facts import replace_by_several
from fastcnn.passes.rewrite import describe

# Window from which two passes over the tensor cost less than one with all taps. MaxPool of 256 x 20 x 20 with 5x5, 7x7, 9x9, 13x13:
# 0.10, 0.14, 0.22, 0.38 ms at once, 0.09, 0.10, 0.10, 0.13 ms in two; AveragePool 15x15 of 64 x 60 x 80: 1.67 and 0.48 ms, of
# 3 x 240 x 320: 9.1 and 2.2 ms; MaxPool 5x5 of 64 x 112 x 112: 1.04 and 1.10 ms (one core, AVX-512, 2026-11-21).
LARGE = 49


def separable_pool(graph: Graph) -> bool:
    """Splits each MaxPool and AveragePool of a large window that moves pixel by pixel and keeps the extents of its input.

    max and mean over kh x kw are those over kh of those over kw, also where padding does not count: every row leaves out the same columns.
    """
    large = [node for node in graph.nodes if node.op_type in ("MaxPool", "AveragePool") and _is_large(node)]
    return replace_by_several(graph, {id(node): _two(graph, node) for node in large})


def _is_large(node: Node) -> bool:
    attrs, kernel = node.attrs, node.attrs.get("kernel_shape", ())
    if node.domain or len(node.outputs) != 1 or len(kernel) != 2:
        return False
    moves = any(s != 1 for s in attrs.get("strides") or (1, 1)) or attrs.get("ceil_mode", 0)
    if min(kernel) == 1 or kernel[0] * kernel[1] < LARGE or moves or attrs.get("auto_pad", "NOTSET") != "NOTSET":
        return False
    pads, dilations = attrs.get("pads") or (0, 0, 0, 0), attrs.get("dilations") or (1, 1)
    return all(pads[i] + pads[i + 2] == (kernel[i] - 1) * dilations[i] for i in range(2))


def _two(graph: Graph, node: Node) -> list[Node]:
    """Over kw columns of one row, then over kh rows of one column."""
    (kh, kw), (top, left, bottom, right) = node.attrs["kernel_shape"], node.attrs["pads"]
    dh, dw = node.attrs.get("dilations") or (1, 1)
    between = graph.fresh_name(f"{node.outputs[0]}_columns")
    describe(graph, between, node.outputs[0])
    dilated = "dilations" in node.attrs
    columns = {**node.attrs, "kernel_shape": [1, kw], "pads": [0, left, 0, right], **({"dilations": [1, dw]} if dilated else {})}
    rows = {**node.attrs, "kernel_shape": [kh, 1], "pads": [top, 0, bottom, 0], **({"dilations": [dh, 1]} if dilated else {})}
    return [node.but(outputs=(between,), attrs=columns, activation=None), node.but(inputs=(between,), attrs=rows)]
