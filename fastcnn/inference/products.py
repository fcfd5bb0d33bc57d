"""Shapes of matrix products."""
from __future__ import annotations

from collections.abc import Sequence

from fastcnn.inference.pointwise import agreed, broadcast
from fastcnn.inference.site import Mismatch, Outputs, Site, differ
from fastcnn.inference.sizes import divided, plus, times
from fastcnn.ir.graph import Dim, Shape


def gemm(site: Site) -> Outputs:
    """(M, N) of A' (M, K) and B' (K, N)."""
    a, b = site.shape(0), site.shape(1)
    if any(shape is not None and len(shape) != 2 for shape in (a, b)):
        raise Mismatch("a and b must be matrices")
    (m, k), (kb, n) = (_turned(shape, site.attrs.get(name, 0)) for shape, name in ((a, "transA"), (b, "transB")))
    if differ(k, kb):
        raise Mismatch(f"a has {k} columns, b {kb} rows")
    c = site.shape(2)
    if c is not None and isinstance(m, int) and isinstance(n, int) and None not in c:
        fits = len(c) <= 2 and all(d in (1, e) or isinstance(d, str) for d, e in zip(reversed(c), (n, m)))
        if not fits:
            raise Mismatch(f"c does not broadcast to {[m, n]}")
    return [[m, n]]


def _turned(shape: Shape | None, turned: int) -> tuple[Dim, Dim]:
    rows, columns = (None, None) if shape is None else shape
    return (columns, rows) if turned else (rows, columns)


def matmul_of(a: Shape | None, b: Shape | None) -> list[Dim] | None:
    """numpy's rules for stacks and vectors. Raises Mismatch."""
    if a == () or b == ():
        raise Mismatch("a scalar has no product")
    if a is None or b is None:
        return None
    inner = b[-2] if len(b) > 1 else b[0]
    if differ(a[-1], inner):
        raise Mismatch(f"a has {a[-1]} columns, b {inner} rows")
    stacks = broadcast([a[:-2], b[:-2]], f"{list(a[:-2])} and {list(b[:-2])} do not broadcast") or []
    return [*stacks, *a[-2:-1], *(b[-1:] if len(b) > 1 else ())]


def matmul(site: Site) -> Outputs:
    """MatMul of inputs 0 and 1; a bias and a residual that passes add do not change the shape."""
    y = matmul_of(site.shape(0), site.shape(1))
    if y is not None and len(site.node.inputs) > 2:
        site.expect(2, y[-1:])
        site.expect(3, y)
    return [y]


def integer_matmul(site: Site) -> Outputs:
    """MatMulInteger: MatMul of inputs 0 and 1, inputs 2 and 3 are zero points."""
    return [matmul_of(site.shape(0), site.shape(1))]


def quantized_matmul(site: Site) -> Outputs:
    """QLinearMatMul: MatMul of inputs 0 and 3."""
    return [matmul_of(site.shape(0), site.shape(3))]


def einsum(site: Site) -> Outputs:
    """The sizes of the output's letters; the places of an ellipsis are counted from its end."""
    left, arrow, right = site.attrs["equation"].replace(" ", "").partition("->")
    terms, shapes = left.split(","), [site.shape(i) for i in range(len(site.node.inputs))]
    if len(terms) != len(shapes):
        raise Mismatch(f"equation={site.attrs['equation']!r} for {len(shapes)} inputs")
    if any(shape is None for shape in shapes):
        return [[None] * len(right)] if arrow and "." not in right else [None]
    if not arrow:
        right = "..." * ("..." in left) + "".join(sorted(c for c in set(left) - {",", "."} if left.count(c) == 1))
    places: dict[str | int, list[Dim]] = {}
    for term, shape in zip(terms, shapes):
        labels = _places(term, len(shape or ()))
        if len(labels) != len(shape or ()):
            raise Mismatch(f"{term!r} of the equation for {len(shape or ())} axes")
        for place, size in zip(labels, shape or ()):
            places.setdefault(place, []).append(size)
    spread = -min([k for k in places if isinstance(k, int)], default=0)
    output = _places(right, len(right.replace("...", "")) + spread)
    if any(place not in places for place in output) or len(set(output)) != len(output):
        raise Mismatch(f"equation={site.attrs['equation']!r}")
    for sizes in places.values():
        agreed(sizes, "extents differ for one label")
    return [[agreed(places[place]) for place in output]]


def _places(term: str, rank: int) -> Sequence[str | int]:
    """One label for each axis: its letter, or -1, -2 ... for the axes of the ellipsis, counted from its last."""
    before, dots, after = term.partition("...")
    return [*before, *range(min(len(before) + len(after) - rank, 0), 0), *after] if dots else list(term)


def attention(site: Site) -> Outputs:
    """Y like Q with V's last axis (or, in three axes, q_num_heads times its part); the keys and values so far."""
    q, k, v = (site.shape(i) for i in range(3))
    if q is None or k is None or v is None or not len(q) == len(k) == len(v) or len(q) not in (3, 4):
        return site.outputs(None)
    heads, kv_heads = site.attrs.get("q_num_heads"), site.attrs.get("kv_num_heads")
    if len(q) == 3:
        if not heads or not kv_heads:
            raise Mismatch(f"q_num_heads={heads}, kv_num_heads={kv_heads}")
        q, k, v = ((s[0], n, s[1], divided(s[2], n)) for s, n in ((q, heads), (k, kv_heads), (v, kv_heads)))
        y: list[Dim] = [q[0], q[2], times(v[3], heads)]
    else:
        y = [*q[:3], v[3]]
    past = site.shape(4)
    total = k[2] if not site.given(4) else plus(k[2], past[2]) if past is not None and len(past) == 4 else None
    return [y, [*k[:2], total, k[3]], [*v[:2], total, v[3]], [*q[:3], total]][:len(site.node.outputs)]
