"""ConvShape: sizes, window and arithmetic of a convolution. Problem: a ConvShape with its strides and surroundings, as rungs see it."""
from __future__ import annotations

from dataclasses import field
from operator import attrgetter

from fastcnn.convolve.arithmetic import FLOAT32, Arithmetic
from fastcnn.ir.record import dataclass, replace
from fastcnn.ir.tensor import channels_last_strides

WINDOW = ("n", "kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "ih", "iw", "oh", "ow")
_WINDOW_OF = attrgetter(*WINDOW)
NOWHERE = 1 << 30       # padding before an axis so wide that no window meets the input: outputs are the bias

Places = tuple[tuple[int, ...], ...]          # strides (n, c, h, w) of x, y and, when there is one, the residual


@dataclass(frozen=True)
class ConvShape:
    """ic and oc are per group; pt and pl may be negative (the window starts inside) or NOWHERE (it never meets the input).

    An axis with a single tap has dilation 1, whatever it is made with: nothing lies between taps there. strict: fastcnn.convolve.accuracy.
    """

    n: int
    groups: int
    ic: int
    oc: int
    kh: int
    kw: int
    sh: int
    sw: int
    dh: int
    dw: int
    pt: int
    pl: int
    ih: int
    iw: int
    oh: int
    ow: int
    strict: bool = field(default=False, kw_only=True)
    arithmetic: Arithmetic = field(default=FLOAT32, kw_only=True)

    def __post_init__(self) -> None:
        if self.kh == 1:
            object.__setattr__(self, "dh", 1)
        if self.kw == 1:
            object.__setattr__(self, "dw", 1)

    @property
    def window(self) -> dict[str, int]:
        """The step fields of the window and of the extents of x and y."""
        return dict(zip(WINDOW, _WINDOW_OF(self)))

    @property
    def macs(self) -> int:
        return self.n * self.groups * self.ic * self.oc * self.kh * self.kw * self.oh * self.ow

    @property
    def k(self) -> int:
        return self.kh * self.kw * self.ic

    @property
    def x_extents(self) -> tuple[int, int, int, int]:
        """(n, c, h, w) of the input."""
        return self.n, self.groups * self.ic, self.ih, self.iw

    @property
    def y_extents(self) -> tuple[int, int, int, int]:
        """(n, m, h, w) of the output."""
        return self.n, self.groups * self.oc, self.oh, self.ow

    @property
    def kernel(self) -> tuple[int, int]:
        return self.kh, self.kw

    @property
    def dilations(self) -> tuple[int, int]:
        return self.dh, self.dw

    @property
    def columns_seen(self) -> int:
        """Input columns, padding included, that a row of outputs reads."""
        return (self.ow - 1) * self.sw + (self.kw - 1) * self.dw + 1

    @property
    def x_pixels(self) -> int:
        """About how many pixels of an image are read by some window."""
        return min(self.ih * self.iw, self.oh * self.ow * self.kh * self.kw)

    @property
    def x_bytes(self) -> int:
        """Bytes of x that windows read, for one group and one image."""
        return self.x_pixels * self.ic * self.arithmetic.x.itemsize

    @property
    def y_bytes(self) -> int:
        """Bytes of y, for one group and one image."""
        return self.oh * self.ow * self.oc * self.arithmetic.y.itemsize

    @property
    def w_bytes(self) -> int:
        """Bytes of the weights of all groups."""
        return self.groups * self.oc * self.k * self.arithmetic.w.itemsize

    @property
    def is_depthwise(self) -> bool:
        """Whether each group has one input and one output channel."""
        return self.ic == 1 and self.oc == 1 and self.groups > 1

    @property
    def touches_padding(self) -> bool:
        """Whether any window leaves the input."""
        bottom = (self.oh - 1) * self.sh - self.pt + (self.kh - 1) * self.dh
        right = (self.ow - 1) * self.sw - self.pl + (self.kw - 1) * self.dw
        return self.pt > 0 or self.pl > 0 or bottom >= self.ih or right >= self.iw

    @property
    def splits_taps(self) -> bool:
        """Whether some kernel column meets padding for part of the output columns only. (Padded rows are skipped row by row.)

        An undilated kernel row is one run of k, so there any column in padding counts.
        """
        ranges = [self.valid_columns(s) for s in range(self.kw)]
        if self.dw == 1:
            return any(valid != (0, self.ow) for valid in ranges)
        return any(0 < end - begin < self.ow for begin, end in ranges)

    def __str__(self) -> str:
        stride = f"stride {self.sh}" if self.sh == self.sw else f"strides {self.sh}x{self.sw}"
        dilated = f" dilation {self.dh}x{self.dw}" if self.dilations != (1, 1) else ""
        groups = f" groups {self.groups}" if self.groups > 1 else ""
        images = f"{self.n}x" if self.n > 1 else ""
        sizes = f"{images}{self.ih}x{self.iw}x{self.groups * self.ic} -> {self.groups * self.oc}"
        kind = "" if self.arithmetic == FLOAT32 else f", {self.arithmetic}"
        return f"{sizes}, {self.kh}x{self.kw} {stride}{dilated}{groups}{', strict' if self.strict else ''}{kind}"

    def valid_columns(self, s: int) -> tuple[int, int]:
        """Output columns [begin, end) whose kernel column s reads the input; begin == end where none does."""
        first = self.pl - s * self.dw
        begin = min(max(0, -(-first // self.sw)), self.ow)
        return begin, max(begin, min(self.ow, (self.iw - 1 + first) // self.sw + 1))


@dataclass(frozen=True)
class Problem:
    """A convolution to compute, with what the plan knows of its surroundings.

    places    strides (n, c, h, w) of x, y and, if there is one, a residual
    threads   number of threads that share it
    constant  the weights are known when the plan is made; else steps of the run pack them
    planes    x lies row-major, y may be written so, and what follows the sum is a bias and an activation at most
    clamped   that activation is none, Relu or Clip
    rounds    x and w may be rounded to bfloat16
    half      x, y or the residual lie in memory as bfloat16
    weights   "bf16" or "int8": what w may be in memory; x, products and sums stay float32
    """

    shape: ConvShape
    places: Places
    threads: int = 1
    constant: bool = True
    planes: bool = False
    clamped: bool = True
    rounds: bool = False
    half: bool = False
    weights: str = "fp32"

    def on_pixels(self) -> Problem:
        """The problem with x and y in channels-last tensors of their own."""
        return replace(self, planes=False, places=own_places(self.shape))


def own_places(shape: ConvShape) -> Places:
    """Strides of x and y as tensors of their own, channels last, as the planner lays them out."""
    x, y = shape.arithmetic.x.itemsize, shape.arithmetic.y.itemsize
    return channels_last_strides(shape.x_extents, x), channels_last_strides(shape.y_extents, y)


def flatten(shape: ConvShape, places: Places) -> ConvShape:
    """A 1x1 convolution of stride 1 as one long row of pixels, over all images if they are evenly spaced; others unchanged."""
    pointwise = (shape.kh, shape.kw, shape.sh, shape.sw) == (1, 1, 1, 1) and not shape.touches_padding
    if not pointwise or (shape.ih, shape.iw) != (shape.oh, shape.ow):
        return shape
    if shape.oh != 1 and not all([s[2] == shape.ow * s[3] for s in places]):
        return shape
    n, pixels = shape.n, shape.oh * shape.ow
    if n != 1 and all([s[0] == pixels * s[3] for s in places]):
        n, pixels = 1, n * pixels
    return shape if (n, pixels, 1) == (shape.n, shape.ow, shape.oh) else replace(shape, n=n, ih=1, iw=pixels, oh=1, ow=pixels)
