"""Model.choices(): for each convolution step of a plan, its algorithm, the reason and the predicted time."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import fastcnn._native as _native
from fastcnn.convolve import compressed_gemm, ladder
from fastcnn.convolve.decision import Decision
from fastcnn.ir.record import dataclass
from fastcnn.machine.clock import cycles_per_second

BLOCKING = ("block", "tiles", "split_columns")
# What is kept of a fused step's forty fields: all of them were a fifth of the Python objects of a plan of MobileNetV2 (91 KB).
SHOWN = (*BLOCKING, "nv", "m", "n", "k", "ih", "iw", "ic", "kh", "kw")
# Steps that are the only way to compute a node: convolutions with moved taps or a filter a pixel, and products of other types than float32.
ONLY = frozenset(("deform_conv", "local_conv", "typed_matmul", "qmatmul"))


@dataclass(frozen=True)
class Chosen:
    """A step of a node or of nodes that run as one: its kind and fields, and the decision behind it where alternatives were weighed.

    seconds  of the variants of a fused step that were timed, by name
    """

    node: str
    op_type: str
    kind: str
    fields: Mapping[str, Any]
    threads: int
    decision: Decision | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerChoice:
    """The choice made for a convolution or a matrix product with constant weights.

    layer         the shapes in words
    algorithm     a rung of fastcnn.convolve.ladder: GEMM in place, Winograd F(m,r), depthwise ring ...; the kind of a step that fuses
                  neighbours, or that is the only one; in a row of its own for neighbours that tuning has found to run better apart, or
                  together in several steps, the name of that variant
    tile          (rows, columns) of the register tile at most, None where there is none
    blocking      rows or tiles at a time, and whether threads share output channels
    source        "model": the cost model; "tuned": measured on this machine; "fused": with its neighbours by
                  fastcnn.fusions; "only": there is no other way
    predicted_ms  by the cost model, None for steps that it does not know
    measured_ms   of the candidates that were timed, by name; empty unless tuned
    precision     "fp32", "bf16" or "int8": what is multiplied; "" for products of other types
    weights       the same of the weights in memory. "bf16" for "fp32": each is off by 1/256 of itself at most, "int8" by 1/254 of the
                  largest of its output channel
    why           of a model that was loaded with precision="auto": the reason for the precision, with figures
    """

    node: str
    op_type: str
    layer: str
    algorithm: str
    tile: tuple[int, int] | None
    blocking: dict[str, int]
    source: str
    predicted_ms: float | None
    measured_ms: dict[str, float]
    precision: str = "fp32"
    why: str = ""
    weights: str = "fp32"

    def __str__(self) -> str:
        tile = f" {self.tile[0]}x{self.tile[1]}" if self.tile else ""
        blocking = "".join(f" {name}={value}" for name, value in self.blocking.items())
        predicted = f", {self.predicted_ms:.4f} ms predicted" if self.predicted_ms is not None else ""
        measured = f", {min(self.measured_ms.values()):.4f} ms the best of {len(self.measured_ms)}" if self.measured_ms else ""
        why = f": {self.why}" if self.why else ""
        weights = f", weights {self.weights}" if self.weights != self.precision else ""
        return f"{self.node}: {self.layer}: {self.algorithm}{weights}{tile}{blocking} ({self.source}{predicted}{measured}){why}"


# What steps multiply that do not multiply floats.
PRECISIONS = {"conv_bf16": "bf16", "qconv": "int8", "qdepthwise": "int8", "qmatmul": "int8", "typed_matmul": ""}
# By bytes, where the step makes floats of them.
COMPRESSED = {size: name for name, size in compressed_gemm.BYTES.items()}
# Register tiles that are not float32's.
TALLEST = {"conv_bf16": _native.pgemm_max_mr, "qconv": _native.qgemm_max_mr, "qmatmul": _native.qgemm_max_mr}


def rows(chosen: Sequence[Chosen]) -> list[LayerChoice]:
    """One row a step. The first call measures the clock, a few milliseconds."""
    return [_row(step, 1e3 / cycles_per_second()) for step in chosen]


def _row(step: Chosen, ms_per_cycle: float) -> LayerChoice:
    fields, decision = step.fields, step.decision
    nv, m = fields.get("nv"), fields.get("m")
    name = step.kind if decision is None else decision.choice.rung
    if decision is not None and m:
        name += f" F({m},{max(decision.problem.shape.kernel)})"
    tallest = TALLEST.get(step.kind, _native.gemm_max_mr)
    tile = (tallest(nv), nv * _native.vector_length()) if nv else None
    blocking = {key: int(fields[key]) for key in BLOCKING if key in fields}
    if decision is None:
        layer, source, predicted = _layer(fields), "tuned" if step.seconds else "only" if step.kind in ONLY else "fused", None
    else:
        layer, source, predicted = str(decision.problem.shape), decision.source, ms_per_cycle * ladder.cycles(decision.choice, step.threads)
    measured = {key: 1e3 * seconds for key, seconds in (step if decision is None else decision).seconds.items()}
    return LayerChoice(step.node, step.op_type, layer, name, tile, blocking, source, predicted, measured,
                       PRECISIONS.get(step.kind, "fp32"), weights=_weights(step))


def _weights(step: Chosen) -> str:
    """What they are in memory."""
    return COMPRESSED[step.fields["w_bytes"]] if "w_bytes" in step.fields else PRECISIONS.get(step.kind, "fp32")


def _layer(fields: Mapping[str, Any]) -> str:
    """The shapes of a step without a decision, from its fields."""
    if {"m", "n", "k"} <= fields.keys():
        return f"{fields['m']}x{fields['k']} by {fields['k']}x{fields['n']}"
    return ", ".join(_sides(fields, "ih", "iw", "ic")[:1] + _sides(fields, "kh", "kw")) or "whole"


def _sides(fields: Mapping[str, Any], *names: str) -> list[str]:
    """The fields side by side, "3x3": one text, or one a layer where fields have a value for each; none where a field is missing."""
    if not set(names) <= fields.keys():
        return []
    values = [fields[name] for name in names]
    layers = next((len(value) for value in values if isinstance(value, Sequence)), 1)
    return ["x".join(map(str, sizes)) for sizes in zip(*(value if isinstance(value, Sequence) else [value] * layers for value in values))]
