"""RoiAlign and MaxRoiPool: regions of a feature map, each pooled to the same number of bins."""
from __future__ import annotations

import numpy as np

from fastcnn.ir.spec import F32, Args, bad_shape
from fastcnn.ir.tensor import Tensor
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.convolution.conv_emit import place
from fastcnn.ops.image import is_image
from fastcnn.ops.resampling.grid_sample import MAX_OFFSET


class RoiAlign(Op):
    """y[r,c,i,j] = mean, or max, of bilinear samples of x[batch_indices[r]] spread evenly over bin (i, j) of region rois[r].

    x: (N, C, H, W), rois: (R, 4) as x1, y1, x2, y2 times spatial_scale, batch_indices: (R,) int64. sampling_ratio 0: as many
    samples along an axis as a bin has pixels. ONNX RoiAlign-10 (no half pixel), 16, 22. A batch index outside, or a region as
    large as thousands of pixels a bin, raises ExecutionError.
    """

    def native(self, args: Args) -> bool:
        x, rois, batch = (args.spec(i) for i in range(3))
        known = args.node.attrs.get("mode", "avg") in ("avg", "max") and _half_pixel(args) is not None
        return known and x.dtype == rois.dtype == F32 and batch.dtype == np.int64 and is_image(x, (4,)) and x.size < MAX_OFFSET

    def lower(self, low: Lowering) -> None:
        x, y, attrs = low.read(0, "channels_last"), low.write(0, "channels_last"), low.node.attrs
        low.emit("roi_align", [y, x, low.read(1, "dense"), low.read(2, "dense")], y.size * 16,
                 sampling=attrs.get("sampling_ratio", 0), half_pixel=int(bool(_half_pixel(low.args))),
                 max=int(attrs.get("mode", "avg") == "max"), scale=attrs.get("spatial_scale", 1.0), **_region_fields(y, x))


class MaxRoiPool(Op):
    """y[r,c,i,j] = max of x[image] over bin (i, j) of region rois[r] = (image, x1, y1, x2, y2); 0 for an empty bin.

    x: (N, C, H, W), rois: (R, 5) float32. Corners are scaled and rounded, both belong to the region. ONNX MaxRoiPool-1, 22. An image
    outside raises ExecutionError.
    """

    def native(self, args: Args) -> bool:
        return super().native(args) and is_image(args.spec(0), (4,))

    def lower(self, low: Lowering) -> None:
        x, y = low.read(0, "channels_last"), low.write(0, "channels_last")
        low.emit("max_roi_pool", [y, x, low.read(1, "dense")], y.size * 16, scale=low.node.attrs.get("spatial_scale", 1.0),
                 **_region_fields(y, x))


def _region_fields(y: Tensor, x: Tensor) -> dict[str, int]:
    """Extents and places of regions y of x."""
    return {"n": y.shape[0], "images": x.shape[0], "c": x.shape[1], "ih": x.shape[2], "iw": x.shape[3], "oh": y.shape[2],
            "ow": y.shape[3], **place("x", x), **place("y", y)}


def _half_pixel(args: Args) -> bool | None:
    """Whether coordinates are shifted by half a pixel; None for a mode ONNX does not have."""
    default = "half_pixel" if args.node.version >= 16 else "output_half_pixel"
    return {"half_pixel": True, "output_half_pixel": False}.get(args.node.attrs.get("coordinate_transformation_mode", default))


def _bins(args: Args) -> tuple[int, int]:
    bins = args.node.attrs.get("output_height", 1), args.node.attrs.get("output_width", 1)
    if min(bins) < 1:
        raise bad_shape(args, f"output_height={bins[0]}, output_width={bins[1]}")
    return bins


OPERATORS: dict[str, Op] = {"RoiAlign": RoiAlign(), "MaxRoiPool": MaxRoiPool()}
