"""Which nodes treat every image of a batch alone: output[k] depends on image k of their inputs and on nothing else of the batch."""
from __future__ import annotations

from collections.abc import Callable, Mapping

from fastcnn.ir.spec import Args
from fastcnn.ops.movement.shape import axes_argument

Rule = Callable[[Args, frozenset[int]], bool]       # the second: indices of the inputs whose first axis is the batch


def is_separable(args: Args, batched: frozenset[int]) -> bool:
    """Whether the rule of the operator holds. An operator without a rule is not separable; shapes are compared elsewhere."""
    node = args.node
    rule = RULES.get(node.op_type) if not node.domain and not node.captures else None
    return rule is not None and bool(batched) and rule(args, batched)


def _first(args: Args, batched: frozenset[int]) -> bool:
    """Weights, scales and windows are the same for every image."""
    return batched == {0} and len(args.node.outputs) == 1


def _convolution(args: Args, batched: frozenset[int]) -> bool:
    return 0 in batched and batched <= {0, 3}           # 3: a residual


def _normalization(args: Args, batched: frozenset[int]) -> bool:
    return _first(args, batched) and not args.node.attrs.get("training_mode", 0)


def _broadcast(args: Args, batched: frozenset[int]) -> bool:
    """What is not batched has no first axis of its own."""
    rank = max(spec.rank for spec in args.specs if spec is not None)
    return all(spec.rank == rank if i in batched else spec.rank < rank or spec.shape[0] == 1
               for i, spec in enumerate(args.specs) if spec is not None)


def _axis(default: int, every_input: bool = False) -> Rule:
    def rule(args: Args, batched: frozenset[int]) -> bool:
        inputs = range(len(args.specs)) if every_input else (0,)
        return batched == set(inputs) and int(args.node.attrs.get("axis", default)) % args.spec(0).rank != 0
    return rule


def _softmax(args: Args, batched: frozenset[int]) -> bool:
    return _axis(-1 if args.node.version >= 13 else 1)(args, batched)


def _transpose(args: Args, batched: frozenset[int]) -> bool:
    return args.node.attrs.get("perm", (-1,))[0] == 0


def _slice(args: Args, batched: frozenset[int]) -> bool:
    axes = args.ints(3) if args.node.version >= 10 else args.node.attrs.get("axes")
    return batched == {0} and axes is not None and all(int(axis) % args.spec(0).rank for axis in axes)


def _pad(args: Args, batched: frozenset[int]) -> bool:
    pads = args.ints(1) if args.node.version >= 11 else args.node.attrs.get("pads")
    rank = args.spec(0).rank
    return batched == {0} and not args.has(3) and pads is not None and pads[0] == pads[rank] == 0


def _reduce(args: Args, batched: frozenset[int]) -> bool:
    axes = axes_argument(args)
    return batched == {0} and bool(axes) and all(int(axis) % args.spec(0).rank for axis in axes or ())


def _gemm(args: Args, batched: frozenset[int]) -> bool:
    own = not args.has(2) or args.spec(2).rank < 2 or args.spec(2).shape[0] == 1
    return batched == {0} and not args.node.attrs.get("transA", 0) and own


def _matmul(args: Args, batched: frozenset[int]) -> bool:
    """Rows of one matrix, or a stack of matrices; 2 is a bias of the columns, 3 a residual."""
    a, b = args.spec(0), args.spec(1)
    stacks = 1 in batched and a.rank == b.rank >= 3
    return 0 in batched and 2 not in batched and (stacks or (1 not in batched and b.rank <= 2 <= a.rank)) \
        and (not args.has(3) or 3 in batched)


ELEMENTWISE = (
    "Abs", "Add", "And", "Cast", "Ceil", "Celu", "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu",
    "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log",
    "Max", "Mean", "Min", "Mish", "Mul", "Neg", "Not", "Or", "Pow", "PRelu", "Reciprocal", "Relu", "Round", "Selu",
    "Shrink", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tanh",
    "ThresholdedRelu", "Where", "Xor",
)
WINDOWS = (
    "MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool", "LRN",
    "InstanceNormalization", "GroupNormalization", "DepthToSpace", "SpaceToDepth", "Resize", "Upsample", "Reshape",
    "Flatten", "Squeeze", "Unsqueeze",
)
REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _broadcast),
    **dict.fromkeys(WINDOWS, _first),
    **{f"Reduce{name}": _reduce for name in REDUCTIONS},
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "BatchNormalization": _normalization,
    "LayerNormalization": _axis(-1),
    "RMSNormalization": _axis(-1),
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Concat": _axis(0, every_input=True),
    "Split": _axis(0),
    "Gather": _axis(0),
    "Transpose": _transpose,
    "Slice": _slice,
    "Pad": _pad,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
