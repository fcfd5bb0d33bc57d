"""ConvPool: a dense Conv and the pooling that alone reads it, as one step: the map between them often exceeds L2 in first layers."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastcnn.convolve import ladder, split_sums
from fastcnn.convolve.accuracy import Accuracy
from fastcnn.convolve.bf16_gemm import BF16_GEMM, has_widths_of_floats
from fastcnn.convolve.blocking import strip_rows
from fastcnn.convolve.implicit_gemm import implicit_gemm
from fastcnn.convolve.kept_width import keep_width
from fastcnn.convolve.shape import Places, Problem, own_places
from fastcnn.fusions.conv_depthwise import first_fields
from fastcnn.fusions.fused import Fused, Neighbours, by_rows
from fastcnn.fusions.nodes import POOLS, conv_shape, conv_window, is_conv, is_dense, is_image_pool, is_looked_up
from fastcnn.ir.record import dataclass, replace
from fastcnn.ir.spec import F32
from fastcnn.ir.tensor import HALF, channels_last_strides
from fastcnn.machine.current import current
from fastcnn.ops.base import BoundNode, Lowering, Unit
from fastcnn.ops.convolution.conv_emit import ROUNDED, epilogue, place, planes_or_pixels, slope_of, vector_of
from fastcnn.ops.pooling.pool import Pool, pool_fields, pool_window
from fastcnn.ops.window import Window

# A map whose part for each thread is smaller than this share of its L2 costs little on its way to the pooling.
SHARE_OF_L2 = 0.25
# The least strip, a window's rows, must fit into this share of L2, and so must the weights, which every strip reads.
# AlexNet's 5x5 with 1.2 MB of weights: 1.85 -> 1.88 ms; its 11x11 with 93 KB: 0.75 -> 0.72 ms (Xeon, 2 MB L2, one thread, 2026-11-21).
STRIP_OF_L2, WEIGHTS_OF_L2 = 0.5, 0.125


@dataclass(frozen=True)
class ConvPool(Fused):
    """y[n,m,i,j] = max, mean or Lp norm over the window of act(w * x + b)[n,m,:,:].

    rows_factor  of the rows at a time that the caches suggest
    """

    conv: BoundNode
    pool: BoundNode
    rows_factor: float = 1

    readers = POOLS

    @classmethod
    def of(cls, maker: Unit, reader: BoundNode, near: Neighbours) -> Fused | None:
        if not is_image_pool(reader) or not is_conv(maker, 5) or not is_dense(maker) or maker.args.has(3):
            return None
        large = reader.args.spec(0).nbytes > SHARE_OF_L2 * current().l2_bytes * near.threads
        return cls(maker, reader) if large and near.is_private(maker.outputs[0]) and _fits(maker, pool_window(reader.args)) else None

    def alternatives(self) -> Mapping[str, Sequence[Unit]]:
        return by_rows(self)

    def lower(self, low: Lowering) -> None:
        conv, pool = low.part(self.conv), low.part(self.pool)
        w, dense, window = conv.args.constant(1), conv_window(self.conv), pool_window(pool.args)
        x, affine = planes_or_pixels(conv, dense, 1)
        y = pool.write(0, "channels_last")
        (n, ic, _, _), c, (ih, iw), (oh, _) = x.shape, w.shape[0], dense.out, window.out
        covered, stride = _covered(window), window.strides[0]
        block = strip_rows(F32.itemsize * iw * c, covered, stride, oh, self.rows_factor)
        shape = replace(conv_shape(self.conv), n=1, oh=(block - 1) * stride + covered)           # a strip
        places = x.strides, channels_last_strides((1, c, shape.oh, shape.ow))
        first = keep_width(implicit_gemm(shape, places, 1), places, low.widths(conv.node.input(1)), 1)
        rounded = conv.rounds and (x.dtype == HALF or self.rounds(low.threads, conv.strict, (x.strides, places[1])))
        if rounded:
            first = BF16_GEMM.at_width(first.shape, first.fields["nv"], 1)
        packed = conv.packed_weights(conv.node.input(1), first, w)
        assert isinstance(self.pool.op, Pool)
        low.emit("conv_pool", [y, x, packed, vector_of(conv, 2, c), slope_of(conv, c), affine], n * c * ih * iw * w[0].size,
                 n=n, ih=ih, iw=iw, **pool_fields(pool.args, window, self.pool.op.kind), **place("x", x), **place("y", y), c=c, ic=ic,
                 **epilogue(conv.node.activation), block=block,
                 **first_fields(dense, x, {"band": 0, "pair": 0, "halves": 0, **first.fields}, "nv", "band", "block", "pair", "halves"),
                 first_bf16=int(rounded), x_half=int(x.dtype == HALF), y_half=int(y.dtype == HALF))

    def rounds(self, threads: int, strict: bool, places: Places | None = None) -> bool:
        """Whether the convolution is one in bfloat16 where it may be: by predicted time; places: where x and y lie."""
        shape = replace(conv_shape(self.conv), strict=strict)
        exact = is_looked_up(self.conv.node) or ROUNDED in self.conv.node.attrs or not has_widths_of_floats()
        return not exact and ladder.in_bfloat16(Problem(shape, places or own_places(shape), threads)) is not None

    def halves(self, accuracy: Accuracy, threads: int) -> tuple[bool, frozenset[str]]:
        name = self.conv.node.name
        rounded = accuracy.rounds(name) and self.rounds(threads, accuracy.is_strict(name))
        return accuracy.rounds(self.pool.node.name), frozenset(self.conv.node.inputs[:1] if rounded else ())


def _fits(conv: BoundNode, window: Window) -> bool:
    """Whether the convolution runs as one implicit GEMM of all its channels and a window's rows fit into the strip."""
    shape = conv_shape(conv)
    whole = len(split_sums.of_channels(shape.ic, shape.kernel, (shape.sh, shape.sw), shape.n * shape.oh * shape.ow)) == 1
    small = F32.itemsize * _covered(window) * shape.ow * shape.oc <= STRIP_OF_L2 * current().l2_bytes
    small = small and conv.args.spec(1).nbytes <= WEIGHTS_OF_L2 * current().l2_bytes
    places = channels_last_strides(shape.x_extents), channels_last_strides(shape.y_extents)
    return whole and small and ladder.choose(Problem(replace(shape, n=1), places)).kind == "conv"


def _covered(window: Window) -> int:
    """Rows that a window covers, dilation counted."""
    return (window.kernel[0] - 1) * window.dilations[0] + 1
