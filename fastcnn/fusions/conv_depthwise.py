"""ConvDepthwise: a dense Conv, the depthwise Conv that alone reads it and perhaps the 1x1 Conv after it, as one step.

Found in inverted bottlenecks and first layers. The wide maps between them never leave the cache: rows of the first convolution lie in a
ring that the depthwise convolution reads, and its rows in a strip that the last one reads.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

import fastcnn._native as _native
from fastcnn.convolve import ladder
from fastcnn.convolve.accuracy import Accuracy
from fastcnn.convolve.bf16_gemm import BF16_GEMM, has_widths_of_floats
from fastcnn.convolve.blocking import fused_rows, whole_tiles
from fastcnn.convolve.choice import Choice, floats, whole_vectors
from fastcnn.convolve.depthwise import tile_rows
from fastcnn.convolve.implicit_gemm import implicit_gemm, panels
from fastcnn.convolve.kept_width import keep_width, kept_nv
from fastcnn.convolve.shape import Places, Problem, own_places
from fastcnn.convolve.tile import best_nv, half_tiles
from fastcnn.fusions.fused import Fused, Neighbours, by_rows
from fastcnn.fusions.nodes import conv_shape, conv_window, is_clamp, is_conv, is_dense, is_looked_up, is_pointwise
from fastcnn.ir.record import dataclass, replace
from fastcnn.ir.spec import F32
from fastcnn.ir.tensor import HALF, Tensor
from fastcnn.machine.current import current
from fastcnn.ops.base import BoundNode, Lowering, Unit
from fastcnn.ops.convolution.conv_emit import ROUNDED, epilogue, place, planes_or_pixels, slope_of, vector_of
from fastcnn.ops.window import Window

# A tensor smaller than this share of L2 costs nothing on its way to its reader. On two threads too: what one of them wrote lies in its L2,
# and a step less is a barrier less. Twice as much there: mnasnet1_0 0.95, mobilenet_v3_large 0.97, mobilenet_v2 0.98 times as fast
# (2026-11-21, Xeon). Proposed for measurement from a smaller share on.
SHARE_OF_L2, SHARE_PROPOSED = 0.1, 0.03
# First convolutions wider than 1x1 are computed row by row up to this k: the first layers of light networks, which have 3 channels.
LONGEST_SUM = 64


@dataclass(frozen=True)
class ConvDepthwise(Fused):
    """y = act3(w3 act2(depthwise(act1(w1 * x + b1), w2) + b2) + b3 + residual); as far as act2 without last.

    rows_factor  of the rows at a time that the caches suggest
    """

    first: BoundNode
    depthwise: BoundNode
    last: BoundNode | None = None
    rows_factor: float = 1

    readers = frozenset({"Conv"})

    @classmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        if isinstance(maker, cls):
            return replace(maker, last=reader) if maker._takes(reader, near) else None
        if not _is_depthwise(reader) or not _is_first(maker) or not _is_large(reader, near):
            return None
        pair = cls(maker, reader)
        return pair if near.is_private(maker.outputs[0]) or pair._may_skip(near) else None

    def alternatives(self) -> Mapping[str, Sequence[Unit]]:
        apart = self.last is not None and not self.skips
        return {**by_rows(self), **({"last apart": [replace(self, last=None), self.last]} if apart and self.last else {})}

    @property
    def skips(self) -> bool:
        """Whether the residual is the first convolution's output, read from the ring."""
        return self.last is not None and self.last.node.input(3) == self.first.outputs[0]

    def _takes(self, last: BoundNode, near: Neighbours) -> bool:
        """Whether the 1x1 Conv can be part of the step: the channels between are one panel of the first convolution, or skips holds."""
        if self.last is not None or not near.is_private(self.depthwise.outputs[0]) or not _is_last(last):
            return False
        return last.node.input(3) == self.first.outputs[0] or self._channels <= self._first_choice().fields["nv"] * _native.vector_length()

    def _may_skip(self, near: Neighbours) -> bool:
        """Whether what the first makes is read again by the 1x1 Conv after alone, as its residual, and lies in the ring like one.

        That is: one vector of channels, pixel for pixel.
        """
        name, after = self.first.outputs[0], near.readers.get(self.depthwise.outputs[0], ())
        if len(after) != 1 or not _is_last(after[0]) or after[0].node.input(3) != name:
            return False
        alone = [id(b) for b in near.readers[name]] == [id(self.depthwise), id(after[0])] and name not in near.outputs
        alike = self._channels <= _native.vector_length() and conv_window(self.first).out == conv_window(self.depthwise).out
        return alone and alike and near.is_private(self.depthwise.outputs[0])

    @property
    def _channels(self) -> int:
        return self.first.args.spec(1).shape[0]

    def _first_choice(self, widths: Sequence[int] = ()) -> Choice:
        """The choice for the first convolution, row by row; its output is no tensor, only rows in cache."""
        shape = replace(conv_shape(self.first), n=1)
        places = ((0, 1, shape.iw * shape.ic, shape.ic),)
        return keep_width(implicit_gemm(shape, places, 1), places, widths, 1)

    def _wide_enough(self, widths: Sequence[int]) -> Sequence[int]:
        """Those of the tile widths that may be kept: the last convolution reads all channels from one panel."""
        least = 1 if self.last is None else -(-self._channels // _native.vector_length())
        return [nv for nv in widths if nv >= least]

    def rounds(self, threads: int, strict: bool, places: Places | None = None) -> bool:
        """Whether the first convolution is one in bfloat16 where it may be: by predicted time; places: where x and y lie."""
        shape = replace(conv_shape(self.first), strict=strict)
        exact = is_looked_up(self.first.node) or ROUNDED in self.first.node.attrs or not has_widths_of_floats()
        return not exact and ladder.in_bfloat16(Problem(shape, places or own_places(shape), threads)) is not None

    def halves(self, accuracy: Accuracy, threads: int) -> tuple[bool, frozenset[str]]:
        first, last = self.first.node, self.last.node if self.last is not None else None
        takes = set(first.inputs[:1] if accuracy.rounds(first.name) and self.rounds(threads, accuracy.is_strict(first.name)) else ())
        if last is None:
            return accuracy.rounds(self.depthwise.node.name), frozenset(takes)
        rounded = accuracy.rounds(last.name) and not last.input(4) and self._last_rounded(accuracy.is_strict(last.name)) is not None
        takes |= {last.input(3)} - {"", self.first.outputs[0]} if rounded else set()
        return rounded and is_clamp(last.activation), frozenset(takes)

    def _last_rounded(self, strict: bool) -> Choice | None:
        """The choice for a block of rows of the 1x1 convolution in bfloat16, where that is faster."""
        assert self.last is not None
        shape = replace(conv_shape(self.last), strict=strict)
        return ladder.in_bfloat16(Problem(shape, own_places(shape)))

    def lower(self, low: Lowering, means: Tensor | None = None) -> None:
        """means: memory (N, C, H, 1) for the mean of each row, without last."""
        first, depthwise = low.part(self.first), low.part(self.depthwise)
        end = low.part(self.last) if self.last is not None else depthwise
        w1, w2 = first.args.constant(1), depthwise.args.constant(1)
        dense, window = conv_window(self.first), conv_window(self.depthwise)
        (n, ic, _, _), c, (ih, iw), (oh, ow) = first.args.spec(0).shape, self._channels, dense.out, window.out
        picked = self._first_choice(self._wide_enough(low.widths(first.node.input(1))))
        nv = picked.fields["nv"]
        x, affine = planes_or_pixels(first, dense, 1, bool(picked.fields["band"]))
        rounded = first.rounds and (x.dtype == HALF or self.rounds(low.threads, first.strict, (x.strides,)))
        if rounded:
            picked = BF16_GEMM.at_width(picked.shape, nv, 1)
        y = end.write(0, "channels_last")
        residual = end.read(3, "channels_last") if self.last is not None and end.args.has(3) and not self.skips else None
        packed = first.packed_weights(first.node.input(1), picked, w1)
        taps = depthwise.packed((depthwise.node.input(1), "vectors"), lambda: pack_vectors(w2),
                                floats(whole_vectors(w2.shape[0]) * w2[0].size))
        last, last_fields, last_macs = self._last_operands(end if self.last is not None else None, c, ow)
        half = {f"{name}_half": int(t is not None and t.dtype == HALF) for name, t in (("x", x), ("y", y), ("r", residual))}
        tile = tile_rows(conv_shape(self.depthwise))
        block = whole_tiles(fused_rows(F32.itemsize * iw * nv * _native.vector_length(), window.strides[0], oh, self.rows_factor), tile)
        tables = slope_of(first, c), slope_of(depthwise, c), slope_of(end, 1) if self.last is not None else None
        operands = [y, x, packed, vector_of(first, 2, c), taps, vector_of(depthwise, 2, c), *last, residual, means, *tables, affine]
        low.emit("conv_depthwise", operands, n * (c * (ih * iw * w1[0].size + oh * ow * w2[0].size) + last_macs * oh * ow),
                 n=n, kh=window.kernel[0], kw=window.kernel[1], sh=window.strides[0], sw=window.strides[1], dh=window.dilations[0],
                 dw=window.dilations[1], pt=window.before[0], pl=window.before[1], ih=ih, iw=iw, oh=oh, ow=ow, ic=ic, c=c,
                 **place("x", x), **place("y", y), **place("r", residual), **epilogue(depthwise.node.activation), block=block,
                 **first_fields(dense, x, {"band": 0, "pair": 0, "halves": 0, **picked.fields}, "nv", "band", "pair", "halves"),
                 tile_rows=tile, first_bf16=int(rounded), **half,
                 **{f"first_{key}": value for key, value in epilogue(first.node.activation).items()}, **last_fields)

    def _last_operands(self, last: Lowering | None, c: int, ow: int) -> tuple[list[Tensor | None], dict[str, float], int]:
        """Operands, fields and MACs per pixel of the 1x1 convolution at the end."""
        act3 = {f"last_{key}": value for key, value in epilogue(last.node.activation if last else None).items()}
        if last is None:
            return [None, None], {"oc": 0, "last_nv": 0, "last_pair": 0, "last_halves": 0, "last_bf16": 0, "skip": 0, **act3}, 0
        w3, name = last.args.constant(1), last.node.input(1)
        oc = w3.shape[0]
        rounded = self._last_rounded(last.strict) if last.rounds and not last.args.has(4) else None
        if rounded is not None:
            packed = last.packed_weights(name, rounded, w3)
            fields = {"oc": oc, "last_nv": rounded.fields["nv"], "last_pair": 0, "last_halves": 0, "last_bf16": 1,
                      "skip": int(self.skips), **act3}
            return [packed, vector_of(last, 2, oc)], fields, c * oc
        nv = kept_nv(oc, ow, c, best_nv(oc, ow, c), last.widths(name))
        packed = last.packed((name, *panels(nv)), lambda: _native.pack_gemm_b(np.ascontiguousarray(w3.reshape(oc, c)), False, nv),
                             floats(whole_vectors(oc) * c))
        fields = {"oc": oc, "last_nv": nv, "last_pair": int(_native.gemm_pair(ow) > 0), "last_halves": int(half_tiles()), "last_bf16": 0,
                  "skip": int(self.skips), **act3}
        return [packed, vector_of(last, 2, oc)], fields, c * oc


def _is_link(unit: Unit) -> TypeGuard[BoundNode]:
    """A Conv that adds nothing to its sum but a bias."""
    return is_conv(unit) or (is_conv(unit, 5) and is_looked_up(unit.node) and not unit.node.input(3))


def _is_last(unit: Unit) -> TypeGuard[BoundNode]:
    """A 1x1 Conv whose fifth input, if it has one, is no slope."""
    return is_pointwise(unit) and (not unit.node.input(4) or unit.node.activation is not None)


def _is_depthwise(b: BoundNode) -> bool:
    return _is_link(b) and b.args.spec(1).shape[:2] == (b.args.spec(0).shape[1], 1) and b.node.attrs.get("group", 1) > 1


def _is_first(unit: Unit) -> TypeGuard[BoundNode]:
    if not _is_link(unit) or not is_dense(unit):
        return False
    k = unit.args.spec(1).shape[1:]
    return k[0] * k[1] * k[2] <= LONGEST_SUM if k[1:] != (1, 1) else set(unit.node.attrs.get("pads", ())) <= {0}


def _is_large(depthwise: BoundNode, near: Neighbours) -> bool:
    """Whether the map that the depthwise convolution reads exceeds a share of L2 that makes fusing worthwhile."""
    return depthwise.args.spec(0).nbytes > (SHARE_PROPOSED if near.proposes else SHARE_OF_L2) * current().l2_bytes


def first_fields(dense: Window, x: Tensor, fields: Mapping[str, Any], *names: str) -> dict[str, int]:
    """Step fields of the first convolution."""
    return {**{f"first_{name}": fields[name] for name in names},
            "first_kh": dense.kernel[0], "first_kw": dense.kernel[1], "first_sh": dense.strides[0], "first_sw": dense.strides[1],
            "first_pt": dense.before[0], "first_pl": dense.before[1], "first_ih": x.shape[2], "first_iw": x.shape[3]}


def pack_vectors(w: np.ndarray) -> np.ndarray:
    """(C, 1, kh, kw) as [vector of channels][kh][kw][V], zeros past C."""
    c, _, kh, kw = w.shape
    v = _native.vector_length()
    vectors = -(-c // v)
    out = _native.aligned_empty(vectors * v * kh * kw)
    padded = np.zeros((vectors * v, kh * kw), F32)
    padded[:c] = w.reshape(c, kh * kw)
    out[:] = padded.reshape(vectors, v, kh * kw).transpose(0, 2, 1).ravel()
    return out
