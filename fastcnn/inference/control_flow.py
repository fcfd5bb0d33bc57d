"""Types and shapes of the outputs of If, Loop and Scan, by running inference inside their bodies."""
from __future__ import annotations

from collections.abc import Sequence

from fastcnn.inference.site import Known, Mismatch, Site
from fastcnn.ir.graph import Dim, Shape

Info = tuple[str, "Shape | None"]       # type string, shape
INT64, BOOL = "tensor(int64)", "tensor(bool)"
# What is carried round a loop grows more general with every try: after so many nothing is known of it. Deep inside nothing is tried.
MAX_TRIES, MAX_DEPTH = 4, 3


def outputs_of(site: Site, name: str, inputs: Sequence[Info]) -> list[Info]:
    """Types and shapes of the outputs of the body in this attribute, given its inputs and the values that it captures."""
    body = site.node.bodies[name]
    node, outer = site.node, site.known
    known = Known(constants=body.constants, scope=f"{outer.scope}body({node.outputs[0]!r},{name}).", depth=outer.depth + 1)
    for inner, captured in node.captures:
        known.types[inner] = outer.type(captured)
        shape = outer.shape(captured)
        if shape is not None:
            known.shapes[inner] = shape
        if captured in outer.constants and inner not in body.constants:
            known.constants = {**known.constants, inner: outer.constants[captured]}
        if captured in outer.contents:
            known.contents[inner] = outer.contents[captured]
    for info, (kind, shape) in zip(body.inputs, inputs):
        known.types[info.name] = kind or info.type
        known.shapes.pop(info.name, None)
        if shape is not None:
            known.shapes[info.name] = tuple(known.fresh(info.name, k) if d is None else d for k, d in enumerate(shape))
    site.infer_body(body, known)
    return [(known.type(info.name) or info.type, known.shape(info.name)) for info in body.outputs]


def _common(a: Info, b: Info) -> Info:
    """The type and shape that hold for either of two values, for instance the results of both branches of an If."""
    kind = a[0] if a[0] == b[0] else a[0] or b[0] if not (a[0] and b[0]) else ""
    if a[1] is None or b[1] is None or len(a[1]) != len(b[1]):
        return kind, None
    return kind, tuple(m if m == n else None for m, n in zip(a[1], b[1]))


def _local(info: Info, captured: set[str]) -> Info:
    """The shape with symbols that are defined inside the body replaced by unknown sizes."""
    if info[1] is None:
        return info
    return info[0], tuple(d if isinstance(d, int) or d in captured else None for d in info[1])


def _outer_symbols(site: Site) -> set[str]:
    """Symbols that mean the same size inside a body and outside of it."""
    known = site.known
    found: set[str] = set()
    for name in (*site.node.inputs, *(outer for _, outer in site.node.captures)):
        found.update(d for d in known.shape(name) or () if isinstance(d, str))
    return found


def if_(site: Site) -> list[Info]:
    """If: what both branches have in common, or the outputs of the branch that a constant condition takes."""
    condition = site.array(0)
    bodies = site.node.bodies
    names = ["then_branch", "else_branch"]
    if condition is not None and condition.size == 1:
        names = names[:1] if condition.reshape(()) else names[1:]
    outer = _outer_symbols(site)
    made = [[_local(info, outer) for info in outputs_of(site, name, [])] for name in names if name in bodies]
    if not made:
        raise Mismatch("branches are missing")
    found = made[0]
    for other in made[1:]:
        found = [_common(a, b) for a, b in zip(found, other)]
    return found


def _carried(site: Site, fixed: Sequence[Info], states: list[Info], slices: Sequence[Info], skip: int) -> list[Info]:
    """Shapes of the body's outputs after the states' shapes have settled: the body is inferred again until another round changes none."""
    outer = _outer_symbols(site)
    for _ in range(MAX_TRIES if site.known.depth < MAX_DEPTH else 0):
        made = [_local(info, outer) for info in outputs_of(site, "body", [*fixed, *states, *slices])][skip:]
        joined = [_common(a, b) for a, b in zip(states, made)]
        joined = [(before[0] if before[0] == after[0] else after[0], after[1]) for before, after in zip(states, joined)]
        if joined == states:
            return made
        states[:] = joined
    states[:] = [(kind, None) for kind, _ in states]
    return [_local(info, outer) for info in outputs_of(site, "body", [*fixed, *states, *slices])][skip:]


def loop(site: Site) -> list[Info]:
    """Loop: the final states, then the scan outputs of all rounds, stacked along a new first axis."""
    body = site.node.bodies.get("body")
    if body is None:
        raise Mismatch("the body is missing")
    states = [(site.type(i), site.shape(i)) for i in range(2, len(site.node.inputs))]
    made = _carried(site, [(INT64, ()), (BOOL, ())], states, [], 1)
    return [*states, *(_stacked(info, 0, None) for info in made[len(states):])]


def scan(site: Site) -> list[Info]:
    """Scan: the final states, then the outputs of all rounds, stacked along their axes."""
    node, body, count = site.node, site.node.bodies.get("body"), site.attrs.get("num_scan_inputs", 0)
    if body is None or not 0 < count <= len(node.inputs):
        raise Mismatch(f"num_scan_inputs={count}")
    if node.version < 9:
        return [(info[0], None) for info in outputs_of(site, "body", [(site.type(i), None) for i in range(1, len(node.inputs))])]
    first = len(node.inputs) - count
    axes = site.attrs.get("scan_input_axes") or [0] * count
    states = [(site.type(i), site.shape(i)) for i in range(first)]
    slices: list[Info] = []
    rounds: Dim = None
    for k in range(count):
        kind, shape = site.type(first + k), site.shape(first + k)
        if shape is not None:
            axis = site.axis(axes[k], len(shape))
            rounds = shape[axis] if rounds is None or isinstance(shape[axis], int) else rounds
            shape = shape[:axis] + shape[axis + 1:]
        slices.append((kind, shape))
    made = _carried(site, [], states, slices, 0)
    given = site.attrs.get("scan_output_axes") or [0] * (len(made) - first)
    return [*states, *(_stacked(info, axis, rounds) for info, axis in zip(made[first:], given))]


def _stacked(info: Info, axis: int, rounds: Dim) -> Info:
    kind, shape = info
    if shape is None:
        return kind, None
    axis = axis + len(shape) + 1 if axis < 0 else axis
    if not 0 <= axis <= len(shape):
        raise Mismatch(f"scan_output_axes={axis} for rank {len(shape)}")
    return kind, (*shape[:axis], rounds, *shape[axis:])
