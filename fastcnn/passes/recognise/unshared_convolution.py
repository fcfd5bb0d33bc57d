"""Unshared (locally connected) convolution: windows of an image, each times weights of its own, as one LocallyConnected node.

ONNX has no operator for it. Exporters write the windows out (unfold: Pad, Gather or Slice, Reshape, Transpose, Concat) and multiply
by a MatMul with a matrix a position, an Einsum, or a Mul and a ReduceSum. What the windows are is read off the map of their elements.
"""
from __future__ import annotations

import math
import string
from collections.abc import Mapping

import numpy as np

from fastcnn.expansion import add_constant
from fastcnn.ir.graph import Graph, Node
from fastcnn.ir.record import dataclass
from fastcnn.passes.facts import reduced_axes, sole_reader
from fastcnn.passes.recognise.index_maps import IndexMaps

DOMAIN = "fastcnn"
# Operators that are such products by themselves, or with a bias; those that are one together.
ALONE, SUMMED = frozenset({"MatMul", "Einsum", "LocallyConnected"}), frozenset({"Mul", "ReduceSum"})
# Axes are letters.
MAX_RANK = 26


def unshared_convolution(graph: Graph) -> bool:
    """Rewrites every product of windows and constants; adds that follow become biases."""
    there = graph.operators()
    if there.isdisjoint(ALONE) and not there >= SUMMED:         # most graphs: before anything is looked up
        return False
    maps, changed = IndexMaps(graph), False
    consumers, outputs = graph.consumers(), graph.output_names()
    gone: set[int] = set()
    nodes: list[Node] = []
    for node in graph.nodes:
        if id(node) in gone:
            continue
        if node.op_type not in PRODUCTS and node.op_type != "LocallyConnected":
            nodes.append(node)
            continue
        reader = sole_reader(node, consumers, outputs) if node.op_type in ("Mul", "LocallyConnected") else None
        made = _biased(graph, node, reader) or _unshared(graph, node, reader, maps)
        nodes += [node] if made is None else made
        if made is not None:
            changed = True
            gone |= {id(reader)} if reader is not None else set()
    if changed:
        graph.nodes = nodes
    return changed


def _unshared(graph: Graph, node: Node, reader: Node | None, maps: IndexMaps) -> list[Node] | None:
    if node.op_type == "Mul" and (reader is None or reader.op_type != "ReduceSum"):
        return None                          # before anything is mapped: most Muls are none of this
    constants = [v in graph.constants for v in node.inputs]
    if node.domain or node.op_type not in PRODUCTS or sorted(constants) != [False, True] or node.activation is not None:
        return None
    array, value = graph.constants[node.inputs[constants.index(True)]], node.inputs[constants.index(False)]
    moved = maps.map(value) if array.dtype == np.float32 and array.ndim > 2 else None
    if moved is None or moved[0] == value or moved[1].size == 0 or array.size == 0 or max(array.ndim, moved[1].ndim) > MAX_RANK:
        return None
    source, windows = moved
    terms = PRODUCTS[node.op_type](graph, node, reader, *((windows, array) if constants[1] else (array, windows)))
    if terms is None:
        return None
    (a, b), out, output = terms
    w_letters, u_letters = (b, a) if constants[1] else (a, b)
    return _rewritten(graph, source, (u_letters, windows), (w_letters, array), out, output)


def _rewritten(graph: Graph, source: str, u: tuple[str, np.ndarray], w: tuple[str, np.ndarray], out: str, output: str) -> list[Node] | None:
    pairs = {(letter, n) for letters, array in (u, w) for letter, n in zip(letters, array.shape) if n > 1}
    sizes = dict(pairs)
    if len(sizes) < len(pairs):
        return None                          # operands that do not fit: said when the model is bound
    (us, windows), (ws, weights) = _without_ones(*u), _without_ones(*w)
    ones = [letter for letter in out if letter not in sizes]
    k = [c for c in us if c in ws and c not in out]
    n, m, positions = ([c for c in out if (c in us, c in ws) == kind] for kind in ((True, False), (False, True), (True, True)))
    if not k or not positions or set(us) | set(ws) != {*n, *m, *k, *positions}:
        return None
    index = windows.transpose([us.index(c) for c in (*n, *positions, *k)])
    index = index.reshape(_count(n, sizes), _count(positions, sizes), _count(k, sizes))
    matrix = weights.transpose([ws.index(c) for c in (*positions, *k, *m)]).reshape(*index.shape[1:], -1)
    found = _window_of(graph, source, index)
    if found is None:
        return None
    window, layout, order = found
    oh, ow, kh, kw, c = window.shape
    name = add_constant(graph, f"{output}/weights", np.ascontiguousarray(matrix[:, order].reshape(oh, ow, kh, kw, c, -1)))
    stem = graph.fresh_name(f"{output}/unshared")
    x = source if layout == "NCHW" else f"{stem}/x"
    attrs = {"strides": window.strides, "dilations": window.dilations, "pads": window.pads}
    version = graph.opsets.get("", 1)
    split = [*n, *ones, *m, *positions]
    shape = add_constant(graph, f"{output}/shape", np.array([sizes.get(c, 1) for c in split], np.int64))
    nodes = [Node("Transpose", (source,), (x,), {"perm": [0, 3, 1, 2]}, x, "", version)] if layout != "NCHW" else []
    return [*nodes, Node("LocallyConnected", (x, name), (f"{stem}/y",), attrs, f"{stem}/conv", DOMAIN, 1),
            Node("Reshape", (f"{stem}/y", shape), (f"{stem}/split",), {}, f"{stem}/split", "", version),
            Node("Transpose", (f"{stem}/split",), (output,), {"perm": [split.index(c) for c in out]}, f"{stem}/order", "", version)]


def _count(letters: list[str], sizes: Mapping[str, int]) -> int:
    return math.prod([sizes[c] for c in letters])


def _without_ones(letters: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    return "".join(c for c, n in zip(letters, array.shape) if n > 1), array.reshape([n for n in array.shape if n > 1])


@dataclass(frozen=True)
class Windows:
    """shape = (H', W', kh, kw, C), and how the windows lie in the image."""

    shape: tuple[int, int, int, int, int]
    strides: list[int]
    dilations: list[int]
    pads: list[int]


def _window_of(graph: Graph, source: str, index: np.ndarray) -> tuple[Windows, str, np.ndarray] | None:
    """The windows whose elements `index` (N, positions, k) lists, the layout of the source, and the k in the order (kh, kw, C)."""
    shape = tuple(size for size in graph.shapes[source] if isinstance(size, int))
    for layout in ("NCHW", "NHWC"):
        if len(shape) != 4 or len(graph.shapes[source]) != 4 or shape[0] != len(index):
            return None
        inside, image = index[0] > 0, math.prod(shape[1:])
        if not all(np.array_equal(i > 0, inside) and np.array_equal(i[inside], index[0][inside] + n * image) for n, i in enumerate(index)):
            return None
        at = np.unravel_index(np.maximum(index[0] - 1, 0), shape[1:])
        c, y, x = at if layout == "NCHW" else (at[2], at[0], at[1])
        c_count, height, width = shape[1:] if layout == "NCHW" else (shape[3], shape[1], shape[2])
        most = [int(inside.sum(0).argmax())]             # one element of the window tells most arrangements of the positions wrong
        for oh in (d for d in range(1, len(inside) + 1) if len(inside) % d == 0):
            out = oh, len(inside) // oh
            if _origins(inside[:, most], y[:, most], x[:, most], out) is not None:
                found = _fit(inside, c, y, x, out, (c_count, height, width))
                if found is not None:
                    return found[0], layout, found[1]
    return None


Origins = tuple[list[int], np.ndarray, np.ndarray]


def _origins(inside: np.ndarray, y: np.ndarray, x: np.ndarray, out: tuple[int, int]) -> Origins | None:
    """(strides, rows, columns): where each k lies at position (0, 0), if that and the strides explain all positions inside the image."""
    oy, ox = (v.reshape(-1, 1) for v in np.divmod(np.arange(out[0] * out[1]), out[1]))
    sy, sx = _stride(inside, oy, y), _stride(inside, ox, x)
    if sy is None or sx is None:
        return None
    ky, kx = y - oy * sy, x - ox * sx
    first, columns = inside.argmax(0), np.arange(inside.shape[1])
    ky0, kx0 = ky[first, columns], kx[first, columns]
    straight = inside[first, columns].all() and not (inside & ((ky != ky0) | (kx != kx0))).any()
    return ([sy, sx], ky0, kx0) if straight else None


def _fit(inside: np.ndarray, c: np.ndarray, y: np.ndarray, x: np.ndarray, out: tuple[int, int],
         extents: tuple[int, int, int]) -> tuple[Windows, np.ndarray] | None:
    """The windows, if positions in rows and columns `out` explain what is listed; every k must lie inside x somewhere."""
    origins = _origins(inside, y, x, out)
    if origins is None:
        return None
    strides, ky, kx = origins
    kc = c[inside.argmax(0), np.arange(inside.shape[1])]
    oy, ox = (v.reshape(-1, 1) for v in np.divmod(np.arange(out[0] * out[1]), out[1]))
    at_y, at_x = oy * strides[0] + ky, ox * strides[1] + kx
    within = (at_y >= 0) & (at_y < extents[1]) & (at_x >= 0) & (at_x < extents[2])
    rows, columns = np.unique(ky), np.unique(kx)
    dilations = [d for d in (_even_step(rows), _even_step(columns)) if d is not None]
    full = inside.shape[1] == len(rows) * len(columns) * extents[0] == len({*zip(kc.tolist(), ky.tolist(), kx.tolist())})
    if (within != inside).any() or (inside & (c != kc)).any() or len(dilations) < 2 or not full:
        return None
    shape = (*out, len(rows), len(columns), extents[0])
    return Windows(shape, strides, dilations, [-int(rows[0]), -int(columns[0])]), np.lexsort((kc, kx, ky))


def _stride(inside: np.ndarray, along: np.ndarray, at: np.ndarray) -> int | None:
    """Pixels from one position to the next, by the first k that lies inside at two of them; None if it moves back, or never."""
    if along.max() == 0:
        return 1
    for k in range(inside.shape[1]):
        rows = np.nonzero(inside[:, k])[0]
        if len(rows):
            low, high = rows[along[rows, 0].argmin()], rows[along[rows, 0].argmax()]
            apart, moved = int(along[high, 0] - along[low, 0]), int(at[high, k] - at[low, k])
            if apart:
                return moved // apart if moved > 0 and moved % apart == 0 else None
    return None


def _even_step(values: np.ndarray) -> int | None:
    """The distance of ascending values where it is one and the same, 1 of a single value."""
    steps = set(np.diff(values).tolist())
    return None if len(steps) > 1 else int(steps.pop()) if steps else 1


def _biased(graph: Graph, node: Node, reader: Node | None) -> list[Node] | None:
    """LocallyConnected and the Add of a constant (M, H', W') that reads it, as one node."""
    if node.op_type != "LocallyConnected" or len(node.inputs) > 2 or reader is None or reader.op_type != "Add" or node.activation:
        return None
    bias = graph.constants.get(next(v for v in reader.inputs if v != node.outputs[0]))
    oh, ow, *_, m = graph.constants[node.inputs[1]].shape
    if bias is None or bias.ndim > 4 or (bias.ndim == 4 and bias.shape[0] != 1) or bias.dtype != np.float32:
        return None
    spread = np.broadcast_to(bias.reshape((1,) * (3 - bias.ndim) + bias.shape[-3:]), (m, oh, ow)).transpose(1, 2, 0)
    name = add_constant(graph, f"{node.inputs[1]}/bias", np.ascontiguousarray(spread))
    return [node.but(inputs=(*node.inputs, name), outputs=reader.outputs, activation=reader.activation)]


Terms = tuple[tuple[str, str], str, str]


def _matmul(graph: Graph, node: Node, reader: Node | None, a: np.ndarray, b: np.ndarray) -> Terms | None:
    """Batch axes from the right, then rows r and k, k and columns s."""
    if min(a.ndim, b.ndim) < 2 or len(node.inputs) > 2:
        return None
    batch = string.ascii_uppercase[:max(a.ndim, b.ndim) - 2]
    return (batch[len(batch) - a.ndim + 2:] + "rk", batch[len(batch) - b.ndim + 2:] + "ks"), batch + "rs", node.outputs[0]


def _einsum(graph: Graph, node: Node, reader: Node | None, a: np.ndarray, b: np.ndarray) -> Terms | None:
    left, arrow, out = node.attrs["equation"].replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or "." in left or len(terms) != 2 or any(len(set(t)) != len(t) for t in (*terms, out)):
        return None
    return ((terms[0], terms[1]), out, node.outputs[0]) if (len(terms[0]), len(terms[1])) == (a.ndim, b.ndim) else None


def _mul(graph: Graph, node: Node, reader: Node | None, a: np.ndarray, b: np.ndarray) -> Terms | None:
    """A product over all axes and the sum over some."""
    axes = reduced_axes(graph, reader) if reader is not None and reader.activation is None else None
    if not axes or reader is None or a.ndim != b.ndim:
        return None
    letters = string.ascii_letters[:a.ndim]
    summed = {axis % a.ndim for axis in axes}
    kept = [str(k) if k in summed else c for k, c in enumerate(letters) if k not in summed or reader.attrs.get("keepdims", 1)]
    return (letters, letters), "".join(kept), reader.outputs[0]


PRODUCTS = {"MatMul": _matmul, "Einsum": _einsum, "Mul": _mul}
