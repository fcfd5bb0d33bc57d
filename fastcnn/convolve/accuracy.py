"""Accuracy: which convolutions must be direct sums, which may use Winograd's algorithm, and which may round operands to bfloat16."""
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import field

from fastcnn.ir.errors import ConfigurationError
from fastcnn.ir.record import dataclass

FP32, BF16, INT8 = "fp32", "bf16", "int8"
PRECISIONS = (FP32, BF16)
WEIGHTS = (FP32, BF16, INT8)
AUTO = "auto"           # a choice of these, and of 8-bit integers, for each layer: fastcnn.precision.auto

FAST, STRICT = "fast", "strict"
LEVELS = (FAST, STRICT)


@dataclass(frozen=True)
class Accuracy:
    """The level of all nodes, and of single nodes by name.

    fast    the quickest algorithm within the error bound of the README, Winograd's among them, which mixes the pixels of a tile
    strict  direct sums: elements outside of an output's window affect it in no way, rounding included

    precision  "bf16": operands of convolutions and of products with constant matrices may be rounded to bfloat16 where that is quicker
    rounded    names of the nodes for which that is so; None: all, by precision
    weights    what weights of convolutions and of constant matrices may be in memory where that is quicker: of all nodes, or by name
    """

    level: str = FAST
    nodes: Mapping[str, str] = field(default_factory=dict)
    precision: str = FP32
    rounded: frozenset[str] | None = None
    weights: str | Mapping[str, str] = FP32

    def is_strict(self, name: str) -> bool:
        """Whether a node computes directly."""
        return self.nodes.get(name, self.level) == STRICT

    def rounds(self, name: str) -> bool:
        """Whether operands of a node may be rounded to bfloat16."""
        return self.precision == BF16 if self.rounded is None else name in self.rounded

    @property
    def rounds_any(self) -> bool:
        """Whether there are nodes whose operands may be rounded."""
        return self.precision == BF16 if self.rounded is None else bool(self.rounded)

    def weights_of(self, name: str) -> str:
        """What the weights of a node may be in memory."""
        return self.weights if isinstance(self.weights, str) else self.weights.get(name, FP32)


FASTEST = Accuracy()


def accuracy_of(given: str | Mapping[str, str], names: Callable[[], Collection[str]], precision: str | Mapping[str, str] = FP32,
                weights: str | Mapping[str, str] = FP32) -> Accuracy:
    """The arguments of fastcnn.load for a model whose nodes have these names. Raises ConfigurationError."""
    levels, precisions = _checked("accuracy", given, LEVELS, names), _checked("precision", precision, PRECISIONS, names)
    kept = _checked("weights", weights, WEIGHTS, names)
    whole = precisions if isinstance(precisions, str) else FP32
    rounded = None if isinstance(precisions, str) else frozenset(name for name, value in precisions.items() if value == BF16)
    return Accuracy(levels, {}, whole, rounded, kept) if isinstance(levels, str) else Accuracy(FAST, levels, whole, rounded, kept)


def _checked(option: str, given: str | Mapping[str, str], values: Collection[str],
             names: Callable[[], Collection[str]]) -> str | dict[str, str]:
    """One of the values, or one for each node that is named."""
    if isinstance(given, str) and given in values:
        return given
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{option}={given!r}: expected one of {', '.join(values)}, or a mapping from names of nodes to these")
    known = names()
    for name, value in given.items():
        if value not in values:
            raise ConfigurationError(f"{option}={given!r}: {value!r} is none of {', '.join(values)}")
        if name not in known:
            raise ConfigurationError(f"{option}: the model has no node {name!r}")
    return dict(given)
