"""Decides which nodes compute on bytes: products with constant weights, and the nodes between them."""
from __future__ import annotations

from dataclasses import dataclass, field

from fastcnn.expansion import shape_of
from fastcnn.ir.graph import Graph, Node
from fastcnn.operators.cards import card_of
from fastcnn.passes.facts import clip_limits, sole_reader
from fastcnn.passes.quantized.moves import is_move
from fastcnn.precision.products import is_product

# What a node is on bytes. A function of one value (a Sigmoid, the nodes of SiLU) is part of a table of 256 bytes. A BatchNormalization
# that no convolution takes in stays in float: on bytes DenseNet-121 took 16.5 ms instead of 16.6, and its error rose from 5.5e-3 to 7.9e-3.
PRODUCT, BINARY, AVERAGE, CONCAT, MOVE, FUNCTION = "product", "binary", "average", "concat", "move", "function"
BINARIES, AVERAGES = ("Add", "Sub", "Mul"), ("AveragePool", "GlobalAveragePool")
LIMITED = (PRODUCT, BINARY)     # take in the Relu or Clip behind them
FLOAT = "tensor(float)"
DEEPEST = 16                    # functions in a row that one table stands for


@dataclass
class Regions:
    """The nodes of a graph that compute on bytes, and the values that are stored as bytes.

    kinds    node, by id, that computes on bytes -> what it is there; functions, whether they do or not
    limits   value -> that value after a Relu or Clip, where nothing else reads it and what makes it takes that in
    chains   value of a function -> what it is a function of, the nearest first; a limit begins a new chain
    stored   values that are bytes
    rounded  of these, those that nodes in floats make, or that are inputs of the graph: floats first, then rounded
    """

    graph: Graph
    kinds: dict[int, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    rounded: set[str] = field(default_factory=set)

    def kind(self, node: Node | None) -> str:
        """The kind of a node on bytes, "" where it computes floats."""
        return "" if node is None else self.kinds.get(id(node), "")

    def on_bytes(self, node: Node | None) -> bool:
        """Whether a node reads bytes and makes them."""
        return self.kind(node) not in ("", FUNCTION)

    def products(self) -> list[Node]:
        """The products on bytes, in order."""
        return [node for node in self.graph.nodes if self.kind(node) == PRODUCT]

    def result(self, node: Node) -> str:
        """The value that a node on bytes makes: its output, after its limit."""
        return self.limits.get(node.outputs[0], node.outputs[0])


def regions(graph: Graph, kept: frozenset[str] = frozenset()) -> Regions:
    """The Regions of a graph when the nodes that make the named values stay in floats. graph: of prepare.prepared()."""
    found = Regions(graph)
    _functions(found)
    for node in graph.nodes:
        kind = "" if not kept.isdisjoint(node.outputs) or id(node) in found.kinds else _kind(graph, node)
        if kind:
            found.kinds[id(node)] = kind
    while _pruned(found):
        pass
    _store(found)
    return found


def data_of(node: Node, kind: str) -> tuple[str, ...]:
    """The inputs of a node on bytes that are bytes themselves."""
    return node.inputs if kind in (BINARY, CONCAT) else node.inputs[:1]


def _kind(graph: Graph, node: Node) -> str:
    if node.domain or any(graph.types.get(v) != FLOAT for v in (*node.outputs, node.input(0)) if v):
        return ""
    rank, varying = len(shape_of(graph, node.input(0)) or ()), not any(v in graph.constants for v in node.inputs)
    if is_product(graph, node):
        return PRODUCT
    if node.op_type in BINARIES:
        return BINARY if varying else ""
    if node.op_type in AVERAGES:
        return AVERAGE if rank in (3, 4) else ""
    if node.op_type == "Concat":
        return CONCAT if varying else ""
    fits = is_move(node) and node.input(0) not in graph.constants and (node.op_type != "MaxPool" or rank in (3, 4))
    return MOVE if fits and (node.op_type != "Pad" or _pads_with_zeros(graph, node)) else ""


def _pads_with_zeros(graph: Graph, node: Node) -> bool:
    filler = graph.constants.get(node.input(2))
    return node.attrs.get("mode", "constant") != "constant" or not node.input(2) or (filler is not None and not filler.any())


def _functions(found: Regions) -> None:
    """Limits, and chains of functions between them."""
    graph = found.graph
    consumers, outputs = graph.consumers(), graph.output_names()
    ends = set[str]()
    for node in graph.nodes:
        limited = _kind(graph, node) in LIMITED and node.outputs[0] not in found.chains
        reader = sole_reader(node, consumers, outputs) if limited else None
        if reader is not None and _is_limit(graph, reader):
            found.limits[node.outputs[0]] = reader.outputs[0]
            ends.add(reader.outputs[0])
        varying = _varying(graph, node)
        if not varying or node.outputs[0] in ends:
            continue
        chains = [(v, *found.chains.get(v, ())) for v in varying]
        common = tuple(v for v in chains[0] if all(v in other for other in chains[1:]))[:DEEPEST]
        if common:
            found.chains[node.outputs[0]], found.kinds[id(node)] = common, FUNCTION


def _is_limit(graph: Graph, node: Node) -> bool:
    if node.domain or node.op_type not in ("Relu", "Clip"):
        return False
    limits = clip_limits(graph, node) if node.op_type == "Clip" else (0.0, 1.0)
    return limits is not None and limits[0] <= limits[1]


def _varying(graph: Graph, node: Node) -> list[str]:
    """The inputs of an elementwise node of floats that are no numbers; none where it is another node."""
    card = card_of(node)
    if node.domain or card is None or not (card.operands or card.function) or len(node.outputs) != 1 or node.captures:
        return []
    numbers = all(graph.constants[v].size == 1 for v in node.reads if v in graph.constants)
    floats = all(graph.types.get(v) == FLOAT for v in (*node.reads, node.outputs[0]))
    return [v for v in dict.fromkeys(node.reads) if v not in graph.constants] if numbers and floats else []


def _pruned(found: Regions) -> bool:
    """Takes nodes out that would make bytes of floats, or that make what only floats are computed from; True when there were any."""
    forward = _from_bytes(found)
    backward = _to_bytes(found)
    before = len(found.kinds)
    for node in found.graph.nodes:
        kind = found.kind(node)
        if kind in ("", PRODUCT, FUNCTION):
            continue
        reached = any(found.limits.get(v, v) in backward for v in node.outputs)
        if not reached or not forward.issuperset(data_of(node, kind)):
            del found.kinds[id(node)]
    return len(found.kinds) < before


def _from_bytes(found: Regions) -> set[str]:
    """Values that bytes make, inputs of the graph among them."""
    made = {info.name for info in found.graph.inputs}
    limited = {after: before for before, after in found.limits.items()}
    for node in found.graph.nodes:
        kind = found.kind(node)
        begin = found.chains[node.outputs[0]][-1] if kind == FUNCTION else limited.get(node.outputs[0], "")
        if kind not in ("", FUNCTION) or begin in made:
            made.update(node.outputs)
    return made


def _to_bytes(found: Regions) -> set[str]:
    """Values that are read as bytes, by functions of them in between too."""
    read = set[str]()
    for node in reversed(found.graph.nodes):
        kind = found.kind(node)
        if kind == FUNCTION and node.outputs[0] in read:
            read.update(found.chains[node.outputs[0]])
        elif kind == PRODUCT or (kind and any(found.limits.get(v, v) in read for v in node.outputs)):
            read.update(data_of(node, kind))
    return read


def _store(found: Regions) -> None:
    """Which values are bytes: what nodes on bytes read and, products left out that only floats are computed from, what they make."""
    made = _from_bytes(found) - {info.name for info in found.graph.inputs}
    for node in found.graph.nodes:
        kind = found.kind(node)
        if kind not in ("", FUNCTION):
            found.stored.update(data_of(node, kind))
            if kind != PRODUCT:
                found.stored.update(found.limits.get(v, v) for v in node.outputs if v)
    for value in [v for v in found.stored if v in found.chains]:
        begin = found.chains[value][-1]
        if begin in made:
            found.stored.add(begin)
    producers = found.graph.producers()
    limited = {after: before for before, after in found.limits.items()}
    for value in found.stored:
        begin = found.chains.get(value, (value,))[-1]
        maker = producers.get(limited.get(begin, begin))
        if found.kind(maker) in ("", FUNCTION):
            found.rounded.add(value)
