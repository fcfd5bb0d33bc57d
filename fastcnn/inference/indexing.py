"""Shape rules of reductions, gathers, scatters and selections (TopK, NonMaxSuppression ...)."""
from __future__ import annotations

from fastcnn.inference.site import Mismatch, Outputs, Site, differ
from fastcnn.inference.sizes import times
from fastcnn.ir.graph import Dim


def reduced(site: Site) -> Outputs:
    """Reductions: x with the reduced axes of extent 1, or without them; all axes where none is named, unless noop_with_empty_axes."""
    x, keep = site.shape(0), site.attrs.get("keepdims", 1)
    if x is None:
        return [() if site.missing(1, "axes") and not keep and not site.attrs.get("noop_with_empty_axes", 0) else None]
    given: list[int] | None = []
    if not site.missing(1, "axes"):
        given = site.ints(1, "axes")
        if given is None:
            return [[None] * len(x) if keep else None]
    if not given and site.attrs.get("noop_with_empty_axes", 0):
        return [x]
    axes = set(site.axes(given, len(x))) if given else set(range(len(x)))
    return [[1 if k in axes else d for k, d in enumerate(x) if keep or k not in axes]]


def arg(site: Site) -> Outputs:
    """ArgMax, ArgMin: x without the axis, or with extent 1 there (keepdims)."""
    x = site.shape(0)
    if x is None:
        return [None]
    axis = site.axis(site.attrs.get("axis", 0), len(x))
    if x[axis] == 0:
        raise Mismatch(f"axis={axis} is empty")
    return [[*x[:axis], *([1] if site.attrs.get("keepdims", 1) else []), *x[axis + 1:]]]


def top_k(site: Site) -> Outputs:
    """TopK: x with k elements along `axis`, for values and indices."""
    x = site.shape(0)
    if x is None:
        return site.outputs(None)
    axis = site.axis(site.attrs.get("axis", -1), len(x))
    given = [site.attrs["k"]] if "k" in site.attrs and not site.given(1) else site.dims(1)
    if given is not None and len(given) != 1:
        raise Mismatch(f"k={', '.join(map(str, given))} of {x[axis]}")
    k = given[0] if given is not None else None
    extent = x[axis]
    if isinstance(k, int) and (k < 0 or (isinstance(extent, int) and k > extent)):
        raise Mismatch(f"k={k} of {extent}")
    return site.outputs([*x[:axis], k, *x[axis + 1:]])


def gather_elements(site: Site) -> Outputs:
    """The shape of the indices."""
    _check_indices(site)
    return [site.shape(1)]


def scatter_elements(site: Site) -> Outputs:
    """The shape of x."""
    _check_indices(site)
    indices = site.shape(1)
    if indices is not None:
        site.expect(2, indices, "updates must have the shape of indices")
    return [site.shape(0)]


def _check_indices(site: Site) -> None:
    """Raises Mismatch unless indices have the rank of x and fit into it along every axis but `axis`."""
    x, indices = site.shape(0), site.shape(1)
    if x is None or indices is None:
        return
    if len(x) != len(indices) or not x:
        raise Mismatch("indices must have the rank of x")
    axis = site.axis(site.attrs.get("axis", 0), len(x))
    if any(isinstance(i, int) and isinstance(n, int) and i > n for k, (i, n) in enumerate(zip(indices, x)) if k != axis):
        raise Mismatch(f"indices reach out of x beside axis={axis}")


def gather_nd(site: Site) -> Outputs:
    """GatherND: indices without their last axis, then the axes of x that a tuple does not index."""
    x, indices, batch = site.shape(0), site.shape(1), site.attrs.get("batch_dims", 0)
    if x is None or indices is None:
        return [None]
    if not 0 <= batch < min(len(x), len(indices)) or any(map(differ, x[:batch], indices[:batch])):
        raise Mismatch(f"batch_dims={batch}")
    length = indices[-1]
    if not isinstance(length, int):
        return [None]
    if length < 0 or batch + length > len(x):
        raise Mismatch(f"batch_dims={batch}")
    return [[*indices[:-1], *x[batch + length:]]]


def scatter_nd(site: Site) -> Outputs:
    """The shape of x."""
    x, indices = site.shape(0), site.shape(1)
    if x is None or indices is None:
        return [x]
    depth = indices[-1] if indices else None
    if not indices or (isinstance(depth, int) and depth > len(x)):
        raise Mismatch("indices are longer than x has axes")
    if isinstance(depth, int):
        site.expect(2, [*indices[:-1], *x[depth:]], "updates do not fit the indices")
    return [x]


def reversed_sequences(site: Site) -> Outputs:
    """The shape of x: time and batch are its first two axes, input 1 is a length for each sequence of the batch."""
    x, time, batch = site.shape(0), site.attrs.get("time_axis", 0), site.attrs.get("batch_axis", 1)
    if x is not None:
        if len(x) < 2 or sorted((time, batch)) != [0, 1]:
            raise Mismatch(f"time_axis={time}, batch_axis={batch}")
        site.expect(1, x[batch:batch + 1], f"sequence_lens is {site.shape(1)} for a batch of {x[batch]}")
    return [x]


def one_hot(site: Site) -> Outputs:
    """OneHot: the shape of the indices with a new axis of extent `depth`."""
    indices, depth = site.shape(0), site.dims(1)
    if indices is None:
        return [None]
    if depth is not None and (len(depth) != 1 or (isinstance(depth[0], int) and depth[0] < 0)):
        raise Mismatch(f"depth={list(depth)}")
    site.expect(2, [2])
    axis = site.axis(site.attrs.get("axis", -1), len(indices) + 1)
    return [[*indices[:axis], depth[0] if depth is not None else None, *indices[axis:]]]


def non_zero(site: Site) -> Outputs:
    """NonZero: (rank of x, number of non-zero elements), the latter unknown."""
    x = site.shape(0)
    return [[None if x is None else len(x), None]]


def non_max_suppression(site: Site) -> Outputs:
    """NonMaxSuppression: (number of boxes taken, 3), rows of (image, class, box)."""
    boxes, scores = site.shape(0), site.shape(1)
    for shape in (boxes, scores):
        if shape is not None and len(shape) != 3:
            raise Mismatch("boxes must be (N, B, 4), scores (N, C, B)")
    return [[None, 3]]


def unique(site: Site) -> Outputs:
    """Unique: the unique elements or slices, their number unknown; then vectors of indices, inverse indices and counts."""
    x, axis = site.shape(0), site.attrs.get("axis")
    first: list[Dim] | None = [None]
    if axis is not None:
        if x is None:
            first = None
        else:
            place = site.axis(axis, len(x))
            first = [None if k == place else d for k, d in enumerate(x)]
    return [first, [None], [None], [None]][:len(site.node.outputs)]


def rows_of_regions(site: Site) -> Outputs:
    """RoiAlign: (R, C, bins) for rois (R, 4)."""
    x, rois = site.shape(0), site.shape(1)
    bins = site.attrs.get("output_height", 1), site.attrs.get("output_width", 1)
    if min(bins) < 1:
        raise Mismatch(f"output_height={bins[0]}, output_width={bins[1]}")
    if rois is not None and (len(rois) != 2 or (isinstance(rois[1], int) and rois[1] != 4)):
        raise Mismatch("rois must be (R, 4) and batch_indices (R,)")
    site.expect(2, rois[:1] if rois else [None], "rois must be (R, 4) and batch_indices (R,)")
    return [[rois[0] if rois else None, x[1] if x is not None and len(x) > 1 else None, *bins]]


def pooled_regions(site: Site) -> Outputs:
    """MaxRoiPool: (R, C, pooled_shape) for rois (R, 5)."""
    x, rois, shape = site.shape(0), site.shape(1), site.attrs.get("pooled_shape") or []
    wrong = rois is not None and (len(rois) != 2 or (isinstance(rois[1], int) and rois[1] != 5))
    if wrong or len(shape) != 2 or min(shape) < 1:
        raise Mismatch(f"rois must be (R, 5), pooled_shape={shape} two extents")
    return [[rois[0] if rois else None, x[1] if x is not None and len(x) > 1 else None, *shape]]


def flattened_size(site: Site) -> Dim:
    """Size, as an element: the number of elements of x."""
    total: Dim = 1
    for n in site.shape(0) or (None,):
        total = times(total, n)
    return total
