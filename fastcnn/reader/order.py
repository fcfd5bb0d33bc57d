"""Topological order of nodes, and every way a list of nodes can fail to have one."""
from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence

from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Node


def topological(nodes: Sequence[Node], inputs: Iterable[str], constants: Collection[str]) -> list[Node]:
    """The nodes so that each stands after those it reads from; a list that already does comes back in its own order.

    Raises ModelError for a value assigned twice, a value nobody makes, and a cycle (naming its nodes).
    """
    inputs = list(inputs)
    if _is_ordered(nodes, inputs, constants):
        return list(nodes)
    producer = _producers(nodes, inputs, constants)
    waiting = [0] * len(nodes)
    readers: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        for value in node.reads:
            if value not in producer:
                raise ModelError(f"{node.where()}: input {value!r} is made by no node, input or initializer")
        sources = {producer[value] for value in node.reads} - {-1}
        waiting[i] = len(sources)
        for source in sources:
            readers.setdefault(source, []).append(i)
    ready = [i for i, count in enumerate(waiting) if not count]
    order: list[int] = []
    while ready:                             # the smallest index first: keeps the order where it is one
        i = heapq.heappop(ready)
        order.append(i)
        for reader in readers.get(i, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        _refuse_cycle(nodes, producer, set(order))
    return [nodes[i] for i in order]


def _is_ordered(nodes: Sequence[Node], inputs: Sequence[str], constants: Collection[str]) -> bool:
    """Whether each node stands after those it reads from and nothing is wrong with the list: so it is in most files."""
    known = {*constants, *inputs}
    count = len(constants) + len(inputs)
    for node in nodes:
        if not known.issuperset(node.reads):
            return False
        outputs = [value for value in node.outputs if value]
        known.update(outputs)
        count += len(outputs)
    return len(known) == count                  # else a value is made twice


def _producers(nodes: Sequence[Node], inputs: Iterable[str], constants: Collection[str]) -> dict[str, int]:
    """Value -> index of the node that makes it, -1 for graph inputs and constants."""
    producer = dict.fromkeys(constants, -1)
    for name in inputs:
        if name in producer:
            raise ModelError(f"input {name!r}: listed twice")
        producer[name] = -1
    for i, node in enumerate(nodes):
        for value in node.outputs:
            if value in producer:
                other = "an input or initializer" if producer[value] < 0 else nodes[producer[value]].where()
                raise ModelError(f"{node.where()}: value {value!r} is assigned twice, here and by {other}")
            if value:
                producer[value] = i
    return producer


def _refuse_cycle(nodes: Sequence[Node], producer: dict[str, int], done: set[int]) -> None:
    i = next(k for k in range(len(nodes)) if k not in done)
    path: list[int] = []
    while i not in path:                     # every node left reads from another one left
        path.append(i)
        i = next(s for s in (producer[v] for v in nodes[i].reads) if s >= 0 and s not in done)
    cycle = path[path.index(i):][::-1]
    names = ", ".join(nodes[k].where() for k in cycle[:8])
    raise ModelError(f"the graph has a cycle of {len(cycle)} nodes: {names}{', ...' if len(cycle) > 8 else ''}")
