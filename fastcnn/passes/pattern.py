"""Small trees of nodes, matched against a graph and replaced by one node.

A pattern is
  Op(type, argument patterns..., check)   a node; the arguments of Add and Mul match in either order
  "x"                                     any value; the same name is the same value
  1.5                                     a constant of one element, equal to within float32 rounding
  Param("scale")                          any constant
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field

from fastcnn.ir.graph import Graph, Node
from fastcnn.ir.lazy import lazy
from fastcnn.ir.record import dataclass

RELATIVE_TOLERANCE = 1e-5        # constants like 1/6 or sqrt(2) pass through float32, some through float16

Check = Callable[[Graph, Node], bool]


@dataclass(frozen=True)
class Param:
    """Any constant, bound to a name."""

    name: str


@dataclass(frozen=True, init=False)
class Op:
    """A node of the default domain and its leading inputs, the rest of which `check` looks at."""

    type: str
    args: tuple[Pattern, ...]
    check: Check | None
    types: frozenset[str] = field(compare=False, repr=False)            # of all nodes in it
    makers: frozenset[str] = field(compare=False, repr=False)           # of those that make its arguments

    def __init__(self, type: str, *args: Pattern, check: Check | None = None) -> None:
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "args", args)
        object.__setattr__(self, "check", check)
        inner = [arg for arg in args if isinstance(arg, Op)]
        object.__setattr__(self, "types", frozenset({type}).union(*[arg.types for arg in inner]))
        object.__setattr__(self, "makers", frozenset([arg.type for arg in inner]))


Pattern = Op | Param | str | float
Rule = tuple[Op, Callable[[Graph, "Match"], "Node | None"]]


@dataclass
class Match:
    """Values by the names in the pattern and the nodes matched, the root last."""

    values: dict[str, str] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    @property
    def root(self) -> Node:
        return self.nodes[-1]

    def bound(self, name: str, value: str) -> Match | None:
        if self.values.get(name, value) != value:
            return None
        return Match({**self.values, name: value}, self.nodes)


def _matches(graph: Graph, producers: Mapping[str, Node], value: str, pattern: Pattern, found: Match) -> Iterator[Match]:
    if isinstance(pattern, Op):
        node = producers.get(value)
        if node is not None:
            yield from _node_matches(graph, producers, node, pattern, found)
        return
    if isinstance(pattern, (int, float)):
        array = graph.constants.get(value)
        if array is not None and array.size == 1 and array.dtype.kind in "fiu" \
                and abs(float(array.reshape(())) - pattern) <= RELATIVE_TOLERANCE * abs(pattern):
            yield found
        return
    if isinstance(pattern, Param) and value not in graph.constants:
        return
    bound = found.bound(pattern.name if isinstance(pattern, Param) else pattern, value)
    if bound is not None:
        yield bound


def _node_matches(graph: Graph, producers: Mapping[str, Node], node: Node, pattern: Op, found: Match) -> Iterator[Match]:
    if (
        node.op_type != pattern.type
        or node.domain
        or node.activation is not None
        or len(node.inputs) < len(pattern.args)
    ):
        return
    if pattern.check is not None and not pattern.check(graph, node):
        return
    orders = [node.inputs]
    if pattern.type in ("Add", "Mul") and len(node.inputs) == 2:
        orders.append(node.inputs[::-1])
    for inputs in orders:
        partial = [found]
        for value, argument in zip(inputs, pattern.args):
            partial = [m for p in partial for m in _matches(graph, producers, value, argument, p)]
        for m in partial:
            yield Match(m.values, m.nodes if node in m.nodes else (*m.nodes, node))


class Rules(list[Rule]):
    """Rules, with the operators that all of their patterns have."""

    @lazy
    def common(self) -> frozenset[str]:
        return frozenset.intersection(*[pattern.types for pattern, _ in self])


def replace_matches(graph: Graph, rules: Rules) -> bool:
    """Replaces every match by the node its rule builds (at the root's place), unless a value inside is read elsewhere.

    A rule's function may return None to leave a match as it is.
    """
    there = graph.operators()
    if not rules.common <= there:
        return False
    by_root: dict[str, list[Rule]] = {}
    for rule in rules:
        if rule[0].types <= there:
            by_root.setdefault(rule[0].type, []).append(rule)
    if not by_root:
        return False
    producers, consumers, outputs = graph.producers(), graph.consumers(), graph.output_names()
    gone: set[int] = set()
    new: dict[int, Node] = {}
    for node in graph.nodes:
        if node.op_type not in by_root:
            continue
        makers = {producers[value].op_type for value in node.inputs if value in producers}
        for pattern, build in by_root[node.op_type]:
            if not pattern.makers <= makers:
                continue
            match = next((m for m in _node_matches(graph, producers, node, pattern, Match())
                          if not gone.intersection(map(id, m.nodes)) and _closed(m, consumers, outputs)), None)
            built = build(graph, match) if match is not None else None
            if match is not None and built is not None:
                gone.update(map(id, match.nodes))
                new[id(node)] = built
                break
    if new:
        graph.nodes = [new.get(id(n), n) for n in graph.nodes if id(n) not in gone or id(n) in new]
    return bool(new)


def _closed(match: Match, consumers: Mapping[str, list[Node]], outputs: set[str]) -> bool:
    """No value inside is a graph output or read by a node outside."""
    inside = set(map(id, match.nodes))
    for node in match.nodes[:-1]:
        for value in node.outputs:
            if value in outputs or any(id(reader) not in inside for reader in consumers.get(value, ())):
                return False
    return True
