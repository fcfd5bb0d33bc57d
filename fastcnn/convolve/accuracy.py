"""Accuracy: which convolutions must be direct sums over their windows, and which may be computed by Winograd's algorithm."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field

from fastcnn.ir.errors import ConfigurationError
from fastcnn.ir.record import dataclass

FP32, BF16 = "fp32", "bf16"
PRECISIONS = (FP32, BF16)

FAST, STRICT = "fast", "strict"
LEVELS = (FAST, STRICT)


@dataclass(frozen=True)
class Accuracy:
    """A level for all nodes, and those of nodes by name that have one of their own.

    fast    whatever is quickest within the error bound of the README: Winograd's algorithm mixes the pixels of a tile
    strict  what an output does not see has no part in it, not in its rounding either

    precision  "bf16": operands of convolutions and of products with constant matrices may be rounded to bfloat16 where that is quicker
    """

    level: str = FAST
    nodes: Mapping[str, str] = field(default_factory=dict)
    precision: str = FP32

    def is_strict(self, name: str) -> bool:
        """Whether a node computes directly."""
        return self.nodes.get(name, self.level) == STRICT

    @property
    def rounds(self) -> bool:
        """Whether operands may be rounded to bfloat16."""
        return self.precision == BF16


FASTEST = Accuracy()


def accuracy_of(given: str | Mapping[str, str], names: Collection[str], precision: str = FP32) -> Accuracy:
    """The argument of fastcnn.load for a model whose nodes have these names. Raises ConfigurationError."""
    levels = {"": given} if isinstance(given, str) else given
    if not isinstance(levels, Mapping):
        raise ConfigurationError(f"accuracy={given!r}: expected one of {', '.join(LEVELS)}, or a mapping from names of nodes to these")
    for name, level in levels.items():
        if level not in LEVELS:
            raise ConfigurationError(f"accuracy={given!r}: {level!r} is none of {', '.join(LEVELS)}")
        if levels is given and name not in names:
            raise ConfigurationError(f"accuracy: the model has no node {name!r}")
    return Accuracy(given, {}, precision) if isinstance(given, str) else Accuracy(FAST, dict(levels), precision)
