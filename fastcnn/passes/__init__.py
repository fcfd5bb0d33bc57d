"""Graph rewrites that are true on every machine, in the order they run."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..graph import Graph
from .constant_folding import constant_folding
from .dead_code import dead_code
from .identity_removal import identity_removal
from .widen_half import widen_half

Pass = Callable[[Graph], bool]

PASSES: list[Pass] = [
    widen_half,             # before anything computes with a constant
    constant_folding,       # first: everything after it looks for weights among the constants
    identity_removal,       # before pattern matching, which follows producers and consumers
    dead_code,              # last: what the others left without readers
]


def run_passes(graph: Graph) -> Graph:
    """The graph rewritten until no pass changes it; the given one stays as it is."""
    graph = replace(graph, nodes=list(graph.nodes), constants=dict(graph.constants), metadata=dict(graph.metadata))
    while any([rewrite(graph) for rewrite in PASSES]):
        pass
    return graph
