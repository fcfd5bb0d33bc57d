"""A MatMul that only another MatMul reads, both by constant matrices, in blocks of rows: the MLPs of ConvNeXt and transformers."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fastcnn.fusions.matmul_chain import MatMulChain
from fastcnn.ir.spec import Args
from fastcnn.machine.current import current
from fastcnn.ops.products.linear import MatMul
from fastcnn.plan.bind import Bound, BoundNode

MATMUL_CHAIN = MatMulChain()
# What is between the two and smaller than this many times the L2 of the threads is still there when it is read.
LARGEST_OF_L2 = 0.75


def chain_products(nodes: Sequence[BoundNode], bound: Bound, outputs: Sequence[str], threads: int) -> list[BoundNode]:
    """The nodes of a stage with every such pair as one, where what is between them outgrows the cache."""
    readers = Counter(name for b in nodes for name in b.node.reads)
    makers = {b.node.outputs[0]: b for b in nodes}
    new: dict[int, BoundNode | None] = {}
    for b in nodes:
        first = makers.get(b.node.input(0))
        if first is None or readers[b.node.input(0)] != 1 or b.node.input(0) in outputs or id(first) in new:
            continue
        large = 4 * bound.spec(b.node.input(0)).size > LARGEST_OF_L2 * current().l2_bytes * threads
        if large and _is_product(b) and _is_product(first) and not first.args.has(3):
            new |= {id(first): None, id(b): _chained(first, b)}
    return [kept for b in nodes if (kept := new.get(id(b), b)) is not None]


def _is_product(b: BoundNode) -> bool:
    return type(b.op) is MatMul and b.args.values[1] is not None and b.args.spec(1).rank == 2 and b.args.spec(0).rank > 1


def _chained(first: BoundNode, second: BoundNode) -> BoundNode:
    def pick(b: BoundNode, i: int) -> tuple:
        return (b.node.input(i), b.args.specs[i], b.args.values[i]) if b.args.has(i) else ("", None, None)

    names, specs, values = zip(pick(first, 0), *(pick(second, i) for i in (1, 2, 3)), pick(first, 1), pick(first, 2))
    node = replace(second.node, inputs=names, attrs={"first": first.node}, name=f"{first.node.name} + {second.node.name}")
    return BoundNode(node, MATMUL_CHAIN, Args(node, specs, values))
