"""Col2Im: blocks of an image, as im2col cuts them, added up where they came from."""
from __future__ import annotations

from fastcnn.ir.spec import F32, Args, bad_shape
from fastcnn.ops.base import Lowering, Op


class Col2Im(Op):
    """y[n,c,p] = sum of x[n, c*taps + t, b] over all blocks b and taps t with start(b) + t*dilation - pad = p.

    x: (N, C*prod(block_shape), blocks) float32; image_shape and block_shape are inputs, of one to three axes. ONNX Col2Im-18. Raises
    ShapeError.
    """

    def native(self, args: Args) -> bool:
        axes = args.spec(1).size
        return args.spec(0).dtype == F32 and args.spec(0).rank == 3 and args.spec(0).size > 0 and 1 <= axes <= 3

    def lower(self, low: Lowering) -> None:
        x, y = low.read(0, "dense"), low.write(0, "dense")
        image, block, blocks, strides, dilations, before = _geometry(low.args)
        lead = 3 - len(image)
        threes = {name: (*(one,) * lead, *values) for name, values, one in (
            ("image", image, 1), ("block", block, 1), ("blocks", blocks, 1), ("strides", strides, 1), ("dilations", dilations, 1),
            ("before", before, 0))}
        low.emit("col2im", [y, x], x.size, planes=y.shape[0] * y.shape[1], **threes)


def _geometry(args: Args) -> tuple[list[int], ...]:
    """image, block, blocks, strides, dilations, leading pads: one value a spatial axis."""
    image, block, attrs = args.ints(1) or [], args.ints(2) or [], args.node.attrs
    rank = len(image)
    strides, dilations = (list(attrs.get(name) or [1] * rank) for name in ("strides", "dilations"))
    pads = list(attrs.get("pads") or [0] * 2 * rank)
    if not len(block) == len(strides) == len(dilations) == rank or len(pads) != 2 * rank or min(*strides, *dilations) < 1:
        raise bad_shape(args, f"block_shape={block}, strides={strides}, dilations={dilations}, pads={pads} for {rank} spatial axes")
    blocks = [(n + b + a - d * (k - 1) - 1) // s + 1
              for n, b, a, d, k, s in zip(image, pads, pads[rank:], dilations, block, strides)]
    return image, block, blocks, strides, dilations, pads[:rank]


OPERATORS: dict[str, Op] = {"Col2Im": Col2Im()}
