"""Machine: every number of a processor that a choice of the planner depends on. Equal numbers give equal plans."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from math import inf
from typing import Any

from fastcnn.ir.errors import ConfigurationError
from fastcnn.ir.lazy import lazy
from fastcnn.ir.record import dataclass

WIDE = 16                   # floats of a 512-bit vector


@dataclass(frozen=True)
class Core:
    """What one core does with vectors of one width. Times are in cycles of its clock.

    fmas        fused multiply-adds of whole vectors a cycle
    load        of a load in a register tile: one a row of a, one a vector of b
    chains      of a step of k in a register tile at least: sums that are too few wait for each other
    panel       of a vector of b that comes from L2, because its panel outgrows its share of L1
    products    FMA times that Winograd's products spend for one useful FMA
    both_in, both_out    Winograd along both axes: per position of a tile and vector of input channels; of output channels
    one_in, one_out      the same along one axis
    band        per tap, pixel and vector of input channels that a convolution copies to a band and reads back
    depthwise   per tap and vector of the output, border rows and stores included
    gather      per vector that im2col copies into the matrix of windows
    widened     FMAs in whose time a vector of sums takes four products of bytes a lane, where no instruction does it
    halves      of a row of two vectors of sums that become bytes: two such rows are one vector, stored in halves
    pairs       the same where bytes have been widened to 16 bits before
    dots        FMAs in whose time a vector of sums takes a pair of products in bfloat16, where an instruction does it
    quantise, dequantise    of a vector of floats that becomes bytes, and that bytes become
    """

    fmas: float
    load: float
    chains: float
    panel: float
    products: float
    both_in: float
    both_out: float
    one_in: float
    one_out: float
    band: float
    depthwise: float
    gather: float
    widened: float
    halves: float
    pairs: float
    dots: float
    quantise: float
    dequantise: float


@dataclass(frozen=True)
class Machine:
    """A processor as the planner sees it; rates are those of one core.

    name      of the row in table.py, or where the numbers come from
    l1d_bytes, l2_bytes, l3_bytes    caches: L1 and L2 of one core, L3 of all that share it
    wide, narrow     vectors of 512 bits, and of fewer
    tile      cycles of a call of a register tile: arguments, epilogue
    line      cycles of a line of the output beyond L2 that is written in narrow strips
    l2_read   bytes a cycle: a row of a, which every panel of b reads again
    l2_weights, l3_weights, memory    bytes a cycle: weights from there
    kept_bytes     of the weights of a whole network that a core finds in its caches again in the next run: its L2 and its part of L3
    again, stream    bytes a cycle: weights beyond L2 that blocks of Winograd's tiles read again; all of them beside the products, at most
    spill     bytes a cycle: what a block of Winograd's tiles has more than its share of L2
    prefetch  bytes a cycle that may come from memory while a step computes
    turns     of the epilogue of a vector of sums of bytes where two tiles take turns; NO_BOUND: such tiles are left to tuning
    ring_bytes     of the rows between two fused convolutions: they should leave L1 little
    """

    name: str
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    wide: Core
    narrow: Core
    tile: float
    line: float
    l2_read: float
    l2_weights: float
    l3_weights: float
    memory: float
    kept_bytes: int
    again: float
    stream: float
    spill: float
    prefetch: float
    turns: float
    ring_bytes: int

    def core(self, vector: int) -> Core:
        """The Core for vectors of this many floats."""
        return self.wide if vector >= WIDE else self.narrow

    def __hash__(self) -> int:
        return self._hash

    @lazy
    def _hash(self) -> int:
        """The hash, computed once: every cached choice has its machine in its key."""
        return hash(tuple(getattr(self, field.name) for field in fields(self)))

    def to_json(self) -> str:
        """The numbers as JSON text, for a file."""
        import json
        return json.dumps(asdict(self), indent=1) + "\n"


def from_json(text: str, origin: str) -> Machine:
    """The Machine in to_json's text. Raises ConfigurationError that names the origin and the number that is wrong."""
    import json
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{origin}: no JSON of a machine: {error}") from None
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{origin}: expected an object with the numbers of a machine")
    return _build(Machine, values, origin)


# What a value of a JSON file may be, by the type of its field.
KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a name"), "int": ((int,), "a positive whole number"), "float": ((int, float), "a positive number"),
    "Core": ((Mapping,), "an object of numbers"),
}


def _build(kind: type, values: Mapping[str, Any], origin: str) -> Any:
    """Builds a dataclass whose fields are positive numbers, a name, or such dataclasses, from parsed JSON."""
    names = [field.name for field in fields(kind)]
    wrong = sorted(set(names) ^ set(values))
    if wrong:
        raise ConfigurationError(f"{origin}: a {kind.__name__.lower()} has the numbers {', '.join(names)}; missing or unknown: {wrong}")
    built = {}
    for field in fields(kind):
        value = values[field.name]
        kinds, expected = KINDS[str(field.type)]
        if isinstance(value, bool) or not isinstance(value, kinds) or (isinstance(value, (int, float)) and not 0 < value < inf):
            raise ConfigurationError(f"{origin}: {field.name}={value!r}: expected {expected}")
        built[field.name] = _build(Core, value, f"{origin}, {field.name}") if isinstance(value, Mapping) else value
    return kind(**built)
