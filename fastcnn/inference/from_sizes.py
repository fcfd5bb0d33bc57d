"""Shape rules of operators whose output shape comes from values or attributes: Shape, ConstantOfShape, Range, random numbers, windows."""
from __future__ import annotations

import math

from fastcnn.inference.site import MAX_ELEMENTS, Mismatch, Outputs, Site
from fastcnn.inference.sizes import LARGEST


def shape_of(site: Site) -> Outputs:
    """Shape: a vector with one element for each axis of x from `start` to `end`."""
    x = site.shape(0)
    return [[None if x is None else len(x[slice(site.attrs.get("start", 0), site.attrs.get("end"))])]]


def scalar(site: Site) -> Outputs:
    """A scalar."""
    return site.outputs(())


def filled(site: Site) -> Outputs:
    """The shape that is the value of input 0."""
    sizes = site.dims(0)
    if sizes is None:
        rank = site.shape(0)
        return [[None] * rank[0] if rank and isinstance(rank[0], int) and rank[0] <= MAX_ELEMENTS else None]
    if any(isinstance(n, int) and n < 0 for n in sizes):
        raise Mismatch(f"shape={list(sizes)}")
    return [sizes]


def range_(site: Site) -> Outputs:
    """Range: ceil((limit - start) / delta) elements, where all three are known."""
    values = [site.array(i) for i in range(3)]
    start, limit, delta = (None if v is None or v.size != 1 or v.dtype.kind not in "iuf" else v.reshape(()).item() for v in values)
    if start is None or limit is None or not delta:
        dims = [site.dims(i) for i in range(3)]
        if all(d is not None and len(d) == 1 for d in dims) and dims[0] == (0,) and dims[2] == (1,):
            return [dims[1]]
        return [[None]]
    count = (limit - start) / delta
    return [[max(math.ceil(count), 0) if abs(count) < LARGEST else None]]


def like(site: Site) -> Outputs:
    """The shape of input 0."""
    return [site.shape(0)]


def of_attribute(site: Site) -> Outputs:
    """The value of the attribute `shape`."""
    return [list(site.attrs["shape"])]


def multinomial(site: Site) -> Outputs:
    """(batch, sample_size)."""
    x = site.shape(0)
    return [[x[0] if x else None, site.attrs.get("sample_size", 1)]]


def window(site: Site) -> Outputs:
    """HannWindow, HammingWindow, BlackmanWindow: `size` elements."""
    size = site.dims(0)
    return [[size[0] if size is not None and len(size) == 1 else None]]


def determinant(site: Site) -> Outputs:
    """Det: x without its last two axes."""
    x = site.shape(0)
    if x is not None and len(x) < 2:
        raise Mismatch("x must have matrices")
    return [None if x is None else x[:-2]]
