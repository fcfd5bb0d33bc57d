"""Decides whether several requests may run as one batch: no node may let one image influence another."""
from __future__ import annotations

from collections.abc import Mapping

from fastcnn.ir.errors import FastCNNError
from fastcnn.ir.spec import Spec
from fastcnn.plan.batches import is_separable
from fastcnn.plan.bind import bind
from fastcnn.plan.executor import Engine

IMAGES = 2


def mixing(engine: Engine, specs: Mapping[str, Spec]) -> str | None:
    """The reason, in words, why images must not run together; None where each image's outputs depend on it alone.

    specs  of every input; the extents of their first axes do not count
    """
    graph = engine.graph
    inputs = {name: Spec(spec.dtype, (IMAGES, *spec.shape[1:])) for name, spec in specs.items()}
    try:
        bound = bind(graph.nodes, inputs, graph.constants, {}, graph.opsets, budget=engine.planning.budget)
    except FastCNNError as error:
        return f"with {IMAGES} images: {error}"
    batched = set(inputs)
    for b in bound.nodes:
        if batched.isdisjoint(b.node.reads):
            continue
        if not is_separable(b, bound, batched, IMAGES):
            return f"{b.node.where()} may mix images"
        batched.update(b.node.outputs)
    if bound.rest:
        return f"{bound.rest[0].where()}: its shape depends on what the inputs hold"
    apart = [name for name in engine.outputs if name not in batched]
    return f"output {apart[0]!r} has no images along its first axis" if apart else None
