"""Shape rules of elementwise operators: the shape of one input, or the shapes of several inputs broadcast together."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastcnn.inference.site import Mismatch, Outputs, Site
from fastcnn.ir.graph import Dim, Shape


def same(site: Site) -> Outputs:
    """The shape of input 0, for every output."""
    return site.outputs(site.shape(0))


def agreed(sizes: Iterable[Dim], why: str = "the shapes do not broadcast") -> Dim:
    """The size that broadcasting gives: the number other than 1 if there is one, else the symbol if there is only one, else unknown."""
    found: Dim = 1
    for size in sizes:
        if size == 1 or size == found:
            continue
        if isinstance(size, int) and isinstance(found, int) and found != 1:
            raise Mismatch(why)
        found = size if found == 1 or isinstance(size, int) else found if isinstance(found, int) else None
        if found is None:
            numbers = [n for n in sizes if isinstance(n, int) and n != 1]
            return agreed(numbers, why) if numbers else None
    return found


def broadcast(shapes: Sequence[Shape | None], why: str = "the shapes do not broadcast") -> list[Dim] | None:
    """The shapes broadcast together, None where one is unknown. Raises Mismatch."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes) or not known:
        return None
    if known.count(known[0]) == len(known) and None not in known[0]:
        return list(known[0])
    rank = max(map(len, known))
    return [agreed(column, why) for column in zip(*((1,) * (rank - len(shape)) + tuple(shape) for shape in known))]


def broadcasting(site: Site) -> Outputs:
    """All inputs broadcast together."""
    return [broadcast([site.shape(i) for i in range(len(site.node.inputs))])]


def binary(site: Site) -> Outputs:
    """Inputs 0 and 1 broadcast together. Before opset 7, without `axis`, input 1 is broadcast to input 0."""
    if site.attrs.get("axis") is not None:
        return same(site)
    return [broadcast([site.shape(0), site.shape(1)])]


def parametric_relu(site: Site) -> Outputs:
    """The slope broadcasts to x."""
    x, slope = site.shape(0), site.shape(1)
    if x is not None and slope is not None and (site.node.version >= 9 or len(slope) > 1):
        known = all(isinstance(d, int) for d in (*x, *slope))
        if len(slope) > len(x) or (known and broadcast([x, slope], "slope must broadcast to x") != list(x)):
            raise Mismatch("slope must broadcast to x")
    return [x]


def normalized(site: Site) -> Outputs:
    """y like x, the statistics (opset 17 on) with ones from `axis` on."""
    x = site.shape(0)
    if x is None:
        return site.outputs(None)
    axis = site.axis(site.attrs.get("axis", -1), len(x))
    for i in (1, 2):
        scale = site.shape(i)
        if scale is not None and not _broadcasts(scale, x[axis:]):
            raise Mismatch(f"input {i} does not broadcast to {list(x[axis:])}")
    return [x, *[[*x[:axis], *[1] * (len(x) - axis)]] * (len(site.node.outputs) - 1)]


def _broadcasts(shape: Shape, to: Shape) -> bool:
    if len(shape) > len(to):
        return False
    return all(d in (1, n) or not (isinstance(d, int) and isinstance(n, int)) for d, n in zip(reversed(shape), reversed(to)))


def batch_normalized(site: Site) -> Outputs:
    """y like x, and vectors of as many elements as there are channels."""
    x = site.shape(0)
    channels = channels_of(site, (1, 2, 3, 4))
    return [x, *[[channels]] * (len(site.node.outputs) - 1)]


def channel_normalized(site: Site) -> Outputs:
    """y like x; scale and bias have an element a channel."""
    channels_of(site, (1, 2))
    return [site.shape(0)]


def channels_of(site: Site, vectors: Sequence[int]) -> Dim:
    """How many channels x has, by itself or by one of the inputs that are vectors of so many. Raises Mismatch."""
    x = site.shape(0)
    channels = x[1] if x is not None and len(x) > 1 else None
    for i in vectors:
        shape = site.shape(i)
        if shape is None:
            continue
        fits = len(shape) == 1 and (not isinstance(channels, int) or not isinstance(shape[0], int) or shape[0] == channels)
        if x is not None and not fits:
            raise Mismatch(f"input {i} is {list(shape)} for x of {list(x)}")
        if not isinstance(channels, int) and len(shape) == 1 and isinstance(shape[0], int):
            channels = shape[0]
    return channels


def group_normalized(site: Site) -> Outputs:
    """y like x; scale and bias have an element a group, from opset 21 on a channel."""
    x, groups = site.shape(0), site.attrs.get("num_groups", 0)
    if x is None:
        return [None]
    c = x[1] if len(x) > 1 else None
    if groups < 1 or len(x) < 3 or (isinstance(c, int) and c % groups):
        raise Mismatch(f"num_groups={groups} for x of {list(x)}")
    wanted = c if site.node.version >= 21 else groups
    for i in (1, 2):
        site.expect(i, [wanted])
    return [x]


def along_axis(site: Site) -> Outputs:
    """y like x; `axis`, where it is given, is one of x's."""
    x = site.shape(0)
    if x is not None:
        default = 1 if site.node.version < 13 and site.node.op_type in ("Softmax", "LogSoftmax", "Hardmax") else -1
        axis = site.attrs.get("axis", default)
        if not -len(x) <= axis < max(len(x), axis == 1 and site.node.version < 13):
            raise Mismatch(f"axes={[axis]} for rank {len(x)}")
    return [x]


def cumulative(site: Site) -> Outputs:
    """y like x; the axis is input 1."""
    x, axis = site.shape(0), site.ints(1)
    if x is not None and axis is not None and len(axis) == 1:
        site.axis(axis[0], len(x))
    return [x]


def over_axes(site: Site) -> Outputs:
    """y like x; `axes` are some of x's."""
    x, axes = site.shape(0), site.attrs.get("axes")
    if x is not None and axes:
        site.axes(axes, len(x))
    return [x]


def triangle(site: Site) -> Outputs:
    """y like x, a stack of matrices."""
    x = site.shape(0)
    if x is not None and len(x) < 2:
        raise Mismatch("x must have matrices")
    return [x]
