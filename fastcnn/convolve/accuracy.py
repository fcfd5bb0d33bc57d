"""Accuracy: which convolutions must be direct sums, which may use Winograd's algorithm, and which may round operands to bfloat16."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field

from fastcnn.ir.errors import ConfigurationError
from fastcnn.ir.record import dataclass

FP32, BF16 = "fp32", "bf16"
PRECISIONS = (FP32, BF16)
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
    """

    level: str = FAST
    nodes: Mapping[str, str] = field(default_factory=dict)
    precision: str = FP32
    rounded: frozenset[str] | None = None

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


FASTEST = Accuracy()


def accuracy_of(given: str | Mapping[str, str], names: Collection[str], precision: str | Mapping[str, str] = FP32) -> Accuracy:
    """The arguments of fastcnn.load for a model whose nodes have these names. Raises ConfigurationError."""
    whole, rounded = _precision_of(precision, names)
    levels = {"": given} if isinstance(given, str) else given
    if not isinstance(levels, Mapping):
        raise ConfigurationError(f"accuracy={given!r}: expected one of {', '.join(LEVELS)}, or a mapping from names of nodes to these")
    for name, level in levels.items():
        if level not in LEVELS:
            raise ConfigurationError(f"accuracy={given!r}: {level!r} is none of {', '.join(LEVELS)}")
        if levels is given and name not in names:
            raise ConfigurationError(f"accuracy: the model has no node {name!r}")
    return Accuracy(given, {}, whole, rounded) if isinstance(given, str) else Accuracy(FAST, dict(levels), whole, rounded)


def _precision_of(given: str | Mapping[str, str], names: Collection[str]) -> tuple[str, frozenset[str] | None]:
    """Accuracy's precision, and its rounded."""
    if isinstance(given, str) and given in PRECISIONS:
        return given, None
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"precision={given!r}: expected one of {', '.join(PRECISIONS)}, or a mapping from names of nodes to these")
    for name, value in given.items():
        if value not in PRECISIONS:
            raise ConfigurationError(f"precision={given!r}: {value!r} is none of {', '.join(PRECISIONS)}")
        if name not in names:
            raise ConfigurationError(f"precision: the model has no node {name!r}")
    return FP32, frozenset(name for name, value in given.items() if value == BF16)
