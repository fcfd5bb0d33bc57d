"""Shape rules of operators that move, split and join axes, or take parts of tensors."""
from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from fastcnn.inference.pointwise import broadcast
from fastcnn.inference.site import MAX_ELEMENTS, NUMBERS, Mismatch, Outputs, Site
from fastcnn.inference.sizes import LARGEST, divided, function, plus, product, quotient, times
from fastcnn.ir.graph import Dim, Shape


def transpose(site: Site) -> Outputs:
    """Axes in the order `perm`, reversed without it."""
    x, perm = site.shape(0), site.attrs.get("perm")
    if x is None:
        return [[None] * len(perm)] if perm else [None]
    order = list(perm) if perm else list(range(len(x)))[::-1]
    if sorted(order) != list(range(len(x))):
        raise Mismatch(f"perm={order} for rank {len(x)}")
    return [[x[p] for p in order]]


def flatten(site: Site) -> Outputs:
    """Flatten: (product of the sizes before `axis`, product of the others)."""
    x, axis = site.shape(0), site.attrs.get("axis", 1)
    if x is None:
        return [[None, None]]
    if not -len(x) <= axis <= len(x):
        raise Mismatch(f"axis={axis}")
    axis = axis + len(x) if axis < 0 else axis
    return [[product(x[:axis]), product(x[axis:])]]


def reshape(site: Site) -> Outputs:
    """Reshape: the sizes in input 1, where 0 copies a size of x (unless allowzero) and -1 stands for the rest of the elements."""
    x = site.shape(0)
    wanted = site.attrs["shape"] if site.missing(1) and "shape" in site.attrs else site.dims(1)
    if wanted is None:
        rank = site.shape(1)
        if rank != (0,):
            return [[None] * rank[0] if rank and isinstance(rank[0], int) and rank[0] <= MAX_ELEMENTS else None]
        wanted = ()                         # whatever it holds: a number
    shape = list(wanted)
    if x is not None and NUMBERS.issuperset(map(type, x)) and NUMBERS.issuperset(map(type, shape)):
        return [_of_numbers(x, shape, bool(site.attrs.get("allowzero", 0)))]
    if not site.attrs.get("allowzero", 0):
        if x is not None and any(n == 0 and k >= len(x) for k, n in enumerate(shape)):
            raise Mismatch(f"shape={shape} copies an axis that the input lacks")
        # A size that is computed may turn out to be 0 or -1: it says what it says only where it is a number or one of the input's.
        shape = [(x[k] if x is not None else None) if n == 0 else n for k, n in enumerate(shape)]
    if shape.count(-1) > 1 or any(isinstance(n, int) and n < -1 for n in shape):
        raise Mismatch(f"shape={shape}")
    others = [n for n in shape if n != -1]
    if x is not None and all(isinstance(n, int) for n in (*x, *others)):
        _check_elements(x, shape)
    if -1 in shape:
        shape[shape.index(-1)] = quotient(x, others) if x is not None else None
    return [shape]


def _of_numbers(x: Sequence[Any], shape: list[Any], allow_zero: bool) -> list[Dim]:
    """What Reshape makes of x where all sizes are numbers, as most are."""
    if not allow_zero and 0 in shape:
        if any([n == 0 and k >= len(x) for k, n in enumerate(shape)]):
            raise Mismatch(f"shape={shape} copies an axis that the input lacks")
        shape = [x[k] if n == 0 else n for k, n in enumerate(shape)]
    rest = shape.count(-1)
    if rest > 1 or (shape and min(shape) < -1):
        raise Mismatch(f"shape={shape}")
    size, given = prod(x), prod(shape) * (-1 if rest else 1)
    if (size % given if rest and given else given != size) or (rest and not given):
        raise Mismatch(f"{size} elements do not fit shape={shape}")
    if rest:
        shape[shape.index(-1)] = size // given if size // given <= LARGEST else None
    return shape


def _check_elements(x: Shape, shape: list[Dim]) -> None:
    size, given = 1, 1
    for n in x:
        size *= n      # type: ignore[operator, assignment]
    for n in shape:
        given *= 1 if n == -1 else n      # type: ignore[operator, assignment]
    if (-1 in shape and (given == 0 or size % given)) or (-1 not in shape and given != size):
        raise Mismatch(f"{size} elements do not fit shape={shape}")


def squeeze(site: Site) -> Outputs:
    """x without the axes, or without all of extent one."""
    x = site.shape(0)
    if x is None:
        return [None]
    if site.missing(1, "axes"):
        return [[d for d in x if d != 1] if all(isinstance(d, int) for d in x) else None]
    axes = site.ints(1, "axes")
    if axes is None:
        count = site.shape(1)
        if count != (len(x),):
            return [[None] * (len(x) - count[0]) if count and isinstance(count[0], int) and count[0] <= len(x) else None]
        axes = list(range(len(x)))          # all of them, in whatever order
    drop = site.axes(axes, len(x))
    if any(isinstance(x[a], int) and x[a] != 1 for a in drop):
        raise Mismatch(f"axes={axes} are not all of extent one")
    return [[d for k, d in enumerate(x) if k not in drop]]


def unsqueeze(site: Site) -> Outputs:
    """x with axes of extent one at these positions of the result."""
    x, axes = site.shape(0), site.ints(1, "axes")
    if x is None or axes is None:
        if site.missing(1, "axes"):
            raise Mismatch("axes are missing")
        return [None]
    rank = len(x) + len(axes)
    new, rest = site.axes(axes, rank), iter(x)
    return [[1 if k in new else next(rest) for k in range(rank)]]


def expand(site: Site) -> Outputs:
    """x broadcast with a shape."""
    x, wanted = site.shape(0), site.dims(1)
    if x is not None and wanted is None:
        rank = site.shape(1)
        return [[None] * max(len(x), rank[0]) if rank and isinstance(rank[0], int) and rank[0] <= MAX_ELEMENTS else None]
    if x is None or wanted is None:
        return [None]
    if any(isinstance(n, int) and n < 0 for n in wanted):
        raise Mismatch(f"shape={list(wanted)}")
    return [broadcast([x, wanted], f"{list(x)} does not broadcast with shape={list(wanted)}")]


def tile(site: Site) -> Outputs:
    """x repeated along each axis."""
    x, repeats = site.shape(0), site.dims(1)
    if x is None:
        return [[None] * len(repeats) if repeats is not None and site.node.version >= 6 else None]
    if repeats is None or site.node.version < 6:
        return [[None] * len(x)]
    if len(repeats) != len(x) or any(isinstance(r, int) and r < 0 for r in repeats):
        raise Mismatch(f"repeats={list(repeats)} for rank {len(x)}")
    return [[times(n, r) for n, r in zip(x, repeats)]]


def concat(site: Site) -> Outputs:
    """Concat: the sum of the sizes along `axis`; all other axes agree."""
    shapes = [site.shape(i) for i in range(len(site.node.inputs))]
    known = [shape for shape in shapes if shape is not None]
    if not known:
        return [None]
    rank = len(known[0])
    axis = site.axis(site.attrs.get("axis", 1), rank)
    total: Dim = 0 if len(known) == len(shapes) else None
    sizes = list(known[0])
    for shape in known:
        if len(shape) != rank:
            raise Mismatch(f"shapes differ outside axis={axis}")
        total = plus(total, shape[axis])
        for k, (a, b) in enumerate(zip(sizes, shape)):
            if k == axis or a == b:
                continue
            if isinstance(a, int) and isinstance(b, int):
                raise Mismatch(f"shapes differ outside axis={axis}")
            sizes[k] = b if isinstance(b, int) or a is None else a
    sizes[axis] = total
    return [sizes]


def split(site: Site) -> Outputs:
    """Split: parts along `axis`, of the given sizes, else of equal sizes with a smaller last part where they do not divide."""
    x, count = site.shape(0), len(site.node.outputs)
    if x is None:
        return [None] * count
    axis = site.axis(site.attrs.get("axis", 0), len(x))
    parts: list[Dim]
    if not site.missing(1, "split"):
        given = site.attrs["split"] if "split" in site.attrs and not site.given(1) else site.dims(1)
        parts = [None] * count if given is None else list(given)
        total = sum(n for n in parts if isinstance(n, int))
        whole = all(isinstance(n, int) for n in parts) and isinstance(x[axis], int)
        if len(parts) != count or any(isinstance(n, int) and n < 0 for n in parts) or (whole and total != x[axis]):
            raise Mismatch(f"split={parts} of {x[axis]} into {count} outputs")
    else:
        number, size = site.attrs.get("num_outputs", count), x[axis]
        if number != count:
            raise Mismatch(f"num_outputs={number} for {count} outputs")
        each = -(-size // number) if isinstance(size, int) else size if number == 1 else None
        if isinstance(size, int) and isinstance(each, int):
            parts = [min(each, max(size - k * each, 0)) for k in range(count)]
        else:
            parts = [each] * count
    return [[*x[:axis], part, *x[axis + 1:]] for part in parts]


def slice_(site: Site) -> Outputs:
    """x[starts:ends:steps] along axes, numpy's rules."""
    x = site.shape(0)
    if x is None:
        return [None]
    if site.given(1):
        starts, ends = site.dims(1), site.dims(2)
    else:
        starts, ends = (tuple(v) if (v := site.attrs.get(name)) is not None else None for name in ("starts", "ends"))
        if starts is None or ends is None:
            raise Mismatch(f"starts={starts}, ends={ends}")
    axes, steps = site.ints(3, "axes"), site.ints(4) if site.given(4) else None
    if (axes is None and not site.missing(3, "axes")) or (steps is None and site.given(4)):
        return [[None] * len(x)]
    if starts is None or ends is None:
        touched = range(len(x)) if axes is None else site.axes(axes, len(x))
        return [[None if k in touched else d for k, d in enumerate(x)]]
    axes = site.axes(list(range(len(starts))) if axes is None else axes, len(x))
    steps = steps or [1] * len(starts)
    if 0 in steps or not len(starts) == len(ends) == len(axes) == len(steps):
        raise Mismatch(f"starts={list(starts)}, ends={list(ends)}, axes={axes}, steps={steps}")
    sizes = list(x)
    for axis, start, end, step in zip(axes, starts, ends, steps):
        sizes[axis] = cut(sizes[axis], start, end, step)
    return [sizes]


# The end of a slice that goes to the end: what exporters write is the largest int32 or int64.
TO_THE_END = (1 << 31) - 1


def cut(size: Dim, start: Dim, end: Dim, step: int) -> Dim:
    """len(range(size)[start:end:step])."""
    if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
        stop = None if step < 0 and end < -size else end
        return len(range(*slice(start, stop, step).indices(size)))
    if start == 0 and step == 1 and isinstance(end, int) and end >= TO_THE_END:
        return size
    if start == 0 and step == 1 and end == size:
        return size
    return function("slice", size, start, end, step)


def pad(site: Site) -> Outputs:
    """Pad: each size plus its pads before and after; negative pads crop."""
    x = site.shape(0)
    if x is None:
        return [None]
    pads = site.dims(1) if site.given(1) else tuple(site.attrs.get("pads", site.attrs.get("paddings", ())))
    if site.given(3):
        given = site.ints(3)
        if given is None:
            return [[None] * len(x)]
        axes = site.axes(given, len(x))
    else:
        axes = list(range(len(x)))
    if pads is None:
        return [[None if k in axes else d for k, d in enumerate(x)]]
    if len(pads) != 2 * len(axes):
        raise Mismatch(f"pads={list(pads)} for {len(axes)} axes")
    sizes = list(x)
    for k, axis in enumerate(axes):
        sizes[axis] = plus(sizes[axis], plus(pads[k], pads[k + len(axes)]))
    if any(isinstance(n, int) and not 0 <= n <= LARGEST for n in sizes):
        raise Mismatch(f"pads={list(pads)} crop more than there is")
    mode = site.attrs.get("mode", "constant")
    if mode != "constant" and any(n == 0 and isinstance(m, int) and m for n, m in zip(x, sizes)):
        raise Mismatch(f"mode={mode} has nothing to repeat along an empty axis")
    return [sizes]


def depth_to_space(site: Site) -> Outputs:
    """(N, C / b^2, H b, W b)."""
    x, b = site.shape(0), site.attrs.get("blocksize", 0)
    if x is None:
        return [[None] * 4]
    if len(x) != 4 or b < 1 or (isinstance(x[1], int) and x[1] % (b * b)):
        raise Mismatch(f"blocksize={b}")
    return [[x[0], divided(x[1], b * b), times(x[2], b), times(x[3], b)]]


def space_to_depth(site: Site) -> Outputs:
    """(N, C b^2, H / b, W / b)."""
    x, b = site.shape(0), site.attrs.get("blocksize", 0)
    if x is None:
        return [[None] * 4]
    if len(x) != 4 or b < 1 or any(isinstance(n, int) and n % b for n in x[2:]):
        raise Mismatch(f"blocksize={b}")
    return [[x[0], times(x[1], b * b), divided(x[2], b), divided(x[3], b)]]


def center_fit(site: Site) -> Outputs:
    """CenterCropPad: given extents along `axes`."""
    x, wanted = site.shape(0), site.dims(1)
    if x is None:
        return [None]
    given = site.attrs.get("axes")
    axes = list(range(len(x))) if given is None else site.axes(list(given), len(x))
    if wanted is None:
        return [[None if k in axes else d for k, d in enumerate(x)]]
    if len(wanted) != len(axes) or any(isinstance(n, int) and n < 0 for n in wanted):
        raise Mismatch(f"shape={list(wanted)} for axes={axes}")
    extents = dict(zip(axes, wanted))
    return [[extents.get(k, d) for k, d in enumerate(x)]]


def gather(site: Site) -> Outputs:
    """x taken along `axis` at indices."""
    x, indices = site.shape(0), site.shape(1)
    if x is None or indices is None:
        return [None]
    axis = site.axis(site.attrs.get("axis", 0), len(x))
    value, extent = site.array(1), x[axis]
    if value is not None and value.size and isinstance(extent, int) and (value.min() < -extent or value.max() >= extent):
        raise Mismatch(f"indices {value.min()}..{value.max()} of an axis of extent {extent}")
    return [[*x[:axis], *indices, *x[axis + 1:]]]


def compress(site: Site) -> Outputs:
    """Compress: x with as many elements along `axis` (or of x flattened) as the condition has true ones."""
    x = site.shape(0)
    if "axis" not in site.attrs:
        return [[None]]
    if x is None:
        return [None]
    axis = site.axis(site.attrs["axis"], len(x))
    return [[None if k == axis else d for k, d in enumerate(x)]]
