"""GridSample: an image read at coordinates that are a tensor themselves."""
from __future__ import annotations

from fastcnn.ir.spec import Args
from fastcnn.ir.tensor import span
from fastcnn.ops.base import Lowering, Op
from fastcnn.ops.image import four_strides, is_image, volume

# The names of opset 16 and those since 20, fc_grid_sample's mode.
MODES = {"nearest": 0, "bilinear": 1, "linear": 1, "bicubic": 2, "cubic": 2}
PADDINGS = {"zeros": 0, "border": 1, "reflection": 2}
MAX_OFFSET = 2 ** 31               # elements of one image: kernels take 32-bit offsets


class GridSample(Op):
    """y[n,c,i,j] = x[n,c,.,.] interpolated at grid[n,i,j] = (x, y), where -1 and 1 are the borders.

    x: (N, C, H, W), grid: (N, H', W', 2); or (N, C, D, H, W) and (N, D', H', W', 3). float32. mode nearest,
    linear, cubic; padding_mode zeros, border, reflection; align_corners. ONNX GridSample-16, 20, 22. Raises ShapeError.
    """

    def native(self, args: Args) -> bool:
        x, attrs = args.spec(0), args.node.attrs
        mode, padding = attrs.get("mode", "linear"), attrs.get("padding_mode", "zeros")
        return super().native(args) and is_image(x, (4, 5)) and x.size < MAX_OFFSET and mode in MODES and padding in PADDINGS

    def lower(self, low: Lowering) -> None:
        attrs, axes = low.node.attrs, len(low.args.spec(0).shape) - 2
        x, y = volume(low.read(0, "channels_last")), volume(low.write(0, "channels_last"))
        assert span(x.shape[1:], x.strides[1:]) < MAX_OFFSET
        low.emit("grid_sample", [y, x, low.read(1, "dense")], y.size * 4 ** axes, n=x.shape[0], c=x.shape[1], axes=axes,
                 **{"in": x.shape[2:]}, out=y.shape[2:], mode=MODES[attrs.get("mode", "linear")],
                 padding=PADDINGS[attrs.get("padding_mode", "zeros")], align_corners=int(attrs.get("align_corners", 0)),
                 y_strides=four_strides(y), x_strides=four_strides(x))


OPERATORS: dict[str, Op] = {"GridSample": GridSample()}
