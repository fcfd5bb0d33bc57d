"""Convolution with compressed weights: bfloat16 or int8 in memory, float32 where they are multiplied. Only where a model is loaded so.

For layers that wait for their weights: matrix products of few rows, convolutions of many channels on small maps.
"""
from __future__ import annotations

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve.bf16_gemm import rounded
from fastcnn.convolve.choice import Choice, Rung, whole_vectors
from fastcnn.convolve.implicit_gemm import lies_in_planes, pairs_rows, taps_of_all
from fastcnn.convolve.shape import Problem, flatten
from fastcnn.convolve.tile import tile_cycles
from fastcnn.ir.spec import Spec
from fastcnn.machine.current import current, weights_rate

BYTES = {"bf16": 2, "int8": 1}
FLOAT_BYTES = 4
WIDEST = 2              # vectors of a panel (FC_COMPRESSED_MAX_NV), whatever the shape: batches share the packed weights
CHUNK = 2048            # products of a sum whose weights are float32 at a time: 256 KB of panels two vectors of 16 wide
# Reading float32 weights must take this share of the time of the arithmetic; float kernels hide what takes less. ResNet-50 with the maps
# of 14x14 and larger compressed too: bf16 1.03, int8 1.00 times as long (Zen 5, one thread, 2026-11-29).
READING = 0.15
WIDEN = 2.0             # cycles that a vector of weights takes to become floats


class CompressedGemm(Rung):
    """A panel of weights becomes floats in L2, then all pixels are multiplied with it; a single pixel is multiplied with the bytes."""

    name = "GEMM with compressed weights"

    def covers(self, problem: Problem) -> bool:
        return problem.weights in BYTES and problem.shape.groups == 1 and not lies_in_planes(problem.shape, problem.places)

    def pays(self, problem: Problem) -> bool:
        """On one thread: any number of them has the same bits."""
        shape, vector, machine = problem.shape, _native.vector_length(), current()
        arithmetic = shape.n * shape.oh * shape.ow / machine.core(vector).fmas      # cycles of a vector of weights
        return FLOAT_BYTES * vector / machine.memory >= READING * arithmetic

    def choose(self, problem: Problem) -> Choice:
        shape, size = flatten(problem.shape, problem.places), BYTES[problem.weights]
        band = shape.kernel != (1, 1) or shape.touches_padding
        nv, taps = min(WIDEST, whole_vectors(shape.oc) // _native.vector_length()), shape.kh * shape.kw
        fields = {"groups": 1, "ic": shape.ic, "oc": shape.oc, "nv": nv, "band": int(band),
                  "block": shape.oh if band else shape.oh * shape.ow, "split_columns": 1, "y_gap": 0,
                  "interleaved": 0, "pair": int(pairs_rows(shape, band)), "halves": 0, "w_bytes": size,
                  "chunk": min(shape.ic, max(1, CHUNK // taps))}
        return Choice(self.name, "conv_compressed", shape, fields, (size, nv, fields["chunk"] if taps > 1 else 0))

    def pack(self, choice: Choice, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Panel by panel, so that nothing as large as the weights is made beside them."""
        size, nv, chunk = choice.packing
        out, at, width = _native.aligned_empty(_bytes(choice.packing, w.shape), np.uint8), 0, nv * _native.vector_length()
        for first in range(0, w.shape[0], width):
            filters = w[first:first + width]
            columns = whole_vectors(len(filters))
            pieces = [filters[:, c:c + chunk] for c in range(0, w.shape[1], chunk)] if chunk else [filters]
            scale = scales(filters) if size == 1 else None
            parts = [] if scale is None else [_padded(scale[None], columns)]
            for piece in pieces:
                rows = piece.transpose(2, 3, 1, 0).reshape(-1, len(filters))
                short = rounded(np.ascontiguousarray(rows, np.float32)) if scale is None else quantised(rows, scale)
                parts.append(_padded(short, columns))
            for part in parts:
                flat = part.reshape(-1).view(np.uint8)
                out[at:at + flat.size] = flat
                at += flat.size
        return out

    def packed_spec(self, choice: Choice, w_shape: tuple[int, ...]) -> Spec:
        return Spec(np.dtype(np.uint8), (_bytes(choice.packing, w_shape),))

    def cycles(self, choice: Choice, threads: int) -> float:
        shape, vector, machine = choice.shape, _native.vector_length(), current()
        columns, pixels = whole_vectors(shape.oc), shape.n * shape.oh * shape.ow
        work = shape.n * shape.oh * tile_cycles(shape.oc, shape.ow, shape.k, choice.fields["nv"])
        if pixels > 1:
            work += WIDEN * shape.k * columns / vector
        if choice.fields["band"]:
            panels = columns / (choice.fields["nv"] * vector)
            work += panels * taps_of_all(shape) * -(-shape.ic // vector) * machine.core(vector).band
        return work / threads + choice.fields["w_bytes"] * shape.k * columns / weights_rate()


COMPRESSED_GEMM = CompressedGemm()


def scales(filters: np.ndarray) -> np.ndarray:
    """Of each of (M, C, kh, kw): its largest weight over 127; 1 where all are 0; NaN where it is none or infinite, as outputs are then."""
    largest = np.abs(filters).max(axis=(1, 2, 3), initial=0).astype(np.float32)
    scale = np.where(largest == 0, np.float32(1), largest / np.float32(127))
    return np.where(np.isfinite(scale), scale, np.float32(np.nan))


def quantised(w: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Weights over their scales in int8, to the nearest. scale: of the columns of rows (k, M), or what stretches to the shape."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.rint(w / scale)).clip(-127, 127).astype(np.int8)


def compressed(w: np.ndarray, weights: str) -> np.ndarray:
    """w (M, C, kh, kw) as float32 after compression: what the rung multiplies. Column scales are those of whole filters."""
    if weights == "bf16":
        return (rounded(np.ascontiguousarray(w, np.float32)).astype(np.uint32) << 16).view(np.float32)
    scale = scales(w)[:, None, None, None]
    return quantised(w, scale).astype(np.float32) * scale


def _padded(part: np.ndarray, columns: int) -> np.ndarray:
    """(k, M) with as many columns, zeros behind."""
    if part.shape[1] == columns:
        return np.ascontiguousarray(part)
    wide = np.zeros((len(part), columns), part.dtype)
    wide[:, :part.shape[1]] = part
    return wide


def _bytes(packing: tuple[int, ...], w_shape: tuple[int, ...]) -> int:
    m, ic, kh, kw = w_shape
    return whole_vectors(m) * (ic * kh * kw * packing[0] + (4 if packing[0] == 1 else 0))
