"""The records of a summary: Layer, its ReceptiveField, and Remark."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field along one axis of an input. size: pixels, None for all; unit i sees pixels from offset + stride * i on."""

    input: str
    axis: int
    size: float | None
    stride: float
    offset: float


@dataclass(frozen=True)
class Layer:
    """A node of the optimised graph.

    name, op_type      the node's; fused: operators of the file that it computes besides; nodes: names of all of them
    shape, dtype       of the first output; None where only the run will tell
    weights, biases    elements of the initializers that it reads
    macs               multiply-accumulates of one run
    activation_bytes   of all outputs
    fields             what a unit of the output sees, an entry an axis
    output             name of the first value
    step               layers with the same number run as one: what they hand on is never a whole map in memory
    runs               "native", "fallback" (onnx.reference), "body" (control flow), "view" (nothing to do), "data" (planned when it runs)
    algorithm, tile    what computes it, and (rows, columns) of the register tile
    """

    name: str
    op_type: str
    fused: tuple[str, ...]
    nodes: tuple[str, ...]
    shape: tuple[int, ...] | None
    dtype: str | None
    weights: int
    biases: int
    macs: int
    activation_bytes: int
    fields: tuple[ReceptiveField, ...]
    step: int
    runs: str
    algorithm: str
    tile: tuple[int, int] | None
    output: str

    @property
    def parameters(self) -> int:
        return self.weights + self.biases


@dataclass(frozen=True)
class Remark:
    """kind: "border", "field" or "lanes"; text: a sentence that names the node."""

    kind: str
    node: str
    text: str
