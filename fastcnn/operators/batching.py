"""Batch rules of the cards: when the images of a batch can be computed one by one.

A rule says whether output[k] depends on image k of the inputs and on nothing else of the batch. Shapes are compared elsewhere.
"""
from __future__ import annotations

from fastcnn.ir.spec import Args
from fastcnn.operators.card import BatchRule


def first_input(args: Args, batched: frozenset[int]) -> bool:
    """Only input 0 has images; weights, scales and windows are the same for all of them."""
    return batched == {0} and len(args.node.outputs) == 1


def convolution(args: Args, batched: frozenset[int]) -> bool:
    """Input 0 has images and so may input 3, a residual; weights and bias are the same for all."""
    return 0 in batched and batched <= {0, 3}


def normalization(args: Args, batched: frozenset[int]) -> bool:
    """As first_input(); not in training, where statistics run over the batch."""
    return first_input(args, batched) and not args.node.attrs.get("training_mode", 0)


def resampled(args: Args, batched: frozenset[int]) -> bool:
    """As first_input(), if the batch axis itself is not resampled: its scale must be exactly 1."""
    from fastcnn.resample import axes_of  # fractions, and with them decimal: 6 ms that networks without Resize do without
    return first_input(args, batched) and axes_of(args)[0].idle


def broadcast(args: Args, batched: frozenset[int]) -> bool:
    """Elementwise: inputs with images have the full rank; others lack the first axis or have extent 1 there."""
    rank = max(spec.rank for spec in args.specs if spec is not None)
    return all(spec.rank == rank if i in batched else spec.rank < rank or spec.shape[0] == 1
               for i, spec in enumerate(args.specs) if spec is not None)


def along_axis(default: int, every_input: bool = False) -> BatchRule:
    """A rule for operators along `axis`, which must not be the batch axis; images in input 0 alone, or in every input."""

    def rule(args: Args, batched: frozenset[int]) -> bool:
        inputs = range(len(args.specs)) if every_input else (0,)
        return batched == set(inputs) and int(args.node.attrs.get("axis", default)) % args.spec(0).rank != 0
    return rule


def softmax(args: Args, batched: frozenset[int]) -> bool:
    """As along_axis(); the default axis changed in opset 13."""
    return along_axis(-1 if args.node.version >= 13 else 1)(args, batched)


def transpose(args: Args, batched: frozenset[int]) -> bool:
    """The batch axis stays first."""
    return args.node.attrs.get("perm", (-1,))[0] == 0


def slices(args: Args, batched: frozenset[int]) -> bool:
    """Slice along known axes other than the batch axis."""
    axes = args.ints(3) if args.node.version >= 10 else args.node.attrs.get("axes")
    return batched == {0} and axes is not None and all(int(axis) % args.spec(0).rank for axis in axes)


def pad(args: Args, batched: frozenset[int]) -> bool:
    """Known pads, none along the batch axis."""
    pads = args.ints(1) if args.node.version >= 11 else args.node.attrs.get("pads")
    rank = args.spec(0).rank
    return batched == {0} and not args.has(3) and pads is not None and pads[0] == pads[rank] == 0


def reduce(args: Args, batched: frozenset[int]) -> bool:
    """Reductions over known axes other than the batch axis."""
    axes = args.ints(1) if args.has(1) else args.node.attrs.get("axes")
    return batched == {0} and bool(axes) and all(int(axis) % args.spec(0).rank for axis in axes or ())


def gemm(args: Args, batched: frozenset[int]) -> bool:
    """Gemm: images are rows of A, which is not transposed; C is the same for every row."""
    own = not args.has(2) or args.spec(2).rank < 2 or args.spec(2).shape[0] == 1
    return batched == {0} and not args.node.attrs.get("transA", 0) and own


def matmul(args: Args, batched: frozenset[int]) -> bool:
    """MatMul: images are rows of one matrix or matrices of a stack. Input 2 is a bias of the columns, input 3 a residual."""
    a, b = args.spec(0), args.spec(1)
    stacks = 1 in batched and a.rank == b.rank >= 3
    return 0 in batched and 2 not in batched and (stacks or (1 not in batched and b.rank <= 2 <= a.rank)) \
        and (not args.has(3) or 3 in batched)


def byte_product(args: Args, batched: frozenset[int]) -> bool:
    """QConv, QConvTranspose, QMatMul: input 0 has images and so may input 4, a residual; weights are the same for all."""
    return 0 in batched and batched <= {0, 4}
