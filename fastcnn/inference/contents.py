"""Rules that follow shape arithmetic: the elements of small integer tensors, such as the result of Shape, as numbers or symbols."""
from __future__ import annotations

from collections.abc import Callable

from fastcnn.inference.indexing import flattened_size
from fastcnn.inference.site import Site
from fastcnn.inference.sizes import Contents, function, minus, plus, product, times
from fastcnn.ir.graph import Dim

TO_INT64, TO_INT32 = 7, 6
INTEGERS = ("tensor(int64)", "tensor(int32)")


def _of(site: Site, i: int) -> Contents | None:
    """The known elements of input i, a vector or a scalar; None where they are not known."""
    array = site.array(i)
    if array is None:
        return site.known.contents.get(site.node.input(i))
    if array.dtype.kind != "i" or array.ndim > 1:
        return None
    return Contents(tuple(array.reshape(-1).tolist()), array.ndim == 0)


def shape(site: Site) -> Contents | None:
    """The sizes of x from `start` to `end`."""
    x = site.shape(0)
    return None if x is None else Contents(tuple(x)[slice(site.attrs.get("start", 0), site.attrs.get("end"))])


def size(site: Site) -> Contents | None:
    """The number of elements of x."""
    return None if site.shape(0) is None else Contents((1 if site.shape(0) == () else flattened_size(site),), True)


def kept(site: Site) -> Contents | None:
    """The elements of input 0 unchanged."""
    return _of(site, 0)


def cast(site: Site) -> Contents | None:
    """Cast between integer types keeps the elements: no axis is longer than int32 can say."""
    found = _of(site, 0) if site.attrs.get("to") in (TO_INT64, TO_INT32) and site.type(0) in INTEGERS else None
    if found is None or all(not isinstance(d, int) or abs(d) < 1 << 31 for d in found.dims):
        return found
    return found if site.attrs["to"] == TO_INT64 else None


def gathered(site: Site) -> Contents | None:
    """Gather from a vector."""
    x, indices = _of(site, 0), site.array(1)
    if x is None or x.scalar or indices is None or indices.ndim > 1 or indices.dtype.kind not in "iu":
        return None
    return Contents(tuple(x.dims[i] for i in indices.reshape(-1).tolist()), indices.ndim == 0)


def sliced(site: Site) -> Contents | None:
    """Slice of a vector."""
    x = _of(site, 0)
    if x is None or x.scalar:
        return None
    starts, ends = (site.ints(k, name) for k, name in ((1, "starts"), (2, "ends")))
    steps = site.ints(4) if site.given(4) else [1]
    if starts is None or ends is None or steps is None or not len(starts) == len(ends) == len(steps) == 1 or not steps[0]:
        return None
    stop = None if steps[0] < 0 and ends[0] < -len(x.dims) else ends[0]
    return Contents(x.dims[slice(starts[0], stop, steps[0])])


def joined(site: Site) -> Contents | None:
    """Concat of vectors."""
    dims: list[Dim] = []
    for i in range(len(site.node.inputs)):
        part = _of(site, i)
        shape_ = site.shape(i)
        if part is None and shape_ is not None and len(shape_) == 1 and isinstance(shape_[0], int) and shape_[0] <= 8:
            part = Contents((None,) * shape_[0])
        if part is None or part.scalar or len(dims) > 64:
            return None
        dims += part.dims
    return Contents(tuple(dims)) if any(d is not None for d in dims) else None


def recut(site: Site) -> Contents | None:
    """Reshape, Squeeze and Unsqueeze between a scalar and a vector of one element."""
    x, y = _of(site, 0), site.known.shapes.get(site.node.outputs[0])
    return None if x is None or y is None or len(y) > 1 else Contents(x.dims, scalar=not y)


def _remainderless(a: Dim, b: Dim) -> Dim:
    """a / b towards zero."""
    if isinstance(a, int) and isinstance(b, int):
        return None if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return a if b == 1 else function("quotient", a, b) if b != 0 else None


def _either(a: Dim, b: Dim, pick: Callable[[int, int], int], name: str) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return pick(a, b)
    return a if a == b else function(name, *sorted((a, b), key=str))


_OPERATIONS: dict[str, Callable[[Dim, Dim], Dim]] = {
    "Add": plus,
    "Sub": minus,
    "Mul": times,
    "Div": _remainderless,
    "Max": lambda a, b: _either(a, b, max, "max"),
    "Min": lambda a, b: _either(a, b, min, "min"),
}


def computed(site: Site) -> Contents | None:
    """Add, Sub, Mul, Div ... of two known tensors, element by element."""
    if len(site.node.inputs) != 2 or site.type(0) not in INTEGERS:
        return None
    a, b = _of(site, 0), _of(site, 1)
    if a is None or b is None or (len(a.dims) != len(b.dims) and 1 not in (len(a.dims), len(b.dims))):
        return None
    count = max(len(a.dims), len(b.dims)) if a.dims and b.dims else 0
    left, right = (x.dims * count if len(x.dims) == 1 else x.dims for x in (a, b))
    operation = _OPERATIONS[site.node.op_type]
    return Contents(tuple(operation(x, y) for x, y in zip(left, right)), a.scalar and b.scalar)


def multiplied(site: Site) -> Contents | None:
    """ReduceProd of a whole vector."""
    x = _of(site, 0)
    if x is None or x.scalar or (not site.missing(1, "axes") and site.ints(1, "axes") not in ([0], [-1])):
        return None
    return Contents((product(x.dims),), scalar=not site.attrs.get("keepdims", 1))


def filled(site: Site) -> Contents | None:
    """ConstantOfShape of a short vector of integers."""
    sizes, value = site.ints(0), site.attrs.get("value")
    if value is None or value.dtype.kind != "i" or value.size != 1 or sizes is None or len(sizes) != 1 or not 0 <= sizes[0] <= 64:
        return None
    return Contents((int(value.reshape(-1)[0]),) * sizes[0])
