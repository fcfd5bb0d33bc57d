"""Single convolutions: the layers of real networks, one text file per network, and how to read them."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastcnn import _native
from fastcnn.convolve.shape import ConvShape

FOLDER = Path(__file__).parent
COLUMNS = ("ic", "ih", "iw", "oc", "kh", "kw", "stride", "pad", "dilation", "groups", "count")


@dataclass(frozen=True)
class Layer:
    """A convolution of a network and how often it occurs there; ic and oc count all groups.

    stride, dilation  (vertical, horizontal)       pad  (top, left, bottom, right)
    """

    name: str
    ic: int
    ih: int
    iw: int
    oc: int
    kh: int
    kw: int
    stride: tuple[int, int]
    pad: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    count: int

    def shape(self, batch: int = 1) -> ConvShape:
        """As the planner sees it."""
        (sh, sw), (dh, dw), (top, left, bottom, right) = self.stride, self.dilation, self.pad
        oh = (self.ih + top + bottom - dh * (self.kh - 1) - 1) // sh + 1
        ow = (self.iw + left + right - dw * (self.kw - 1) - 1) // sw + 1
        return ConvShape(batch, self.groups, self.ic // self.groups, self.oc // self.groups, self.kh, self.kw, sh, sw,
                         dh, dw, top, left, self.ih, self.iw, oh, ow)

    def line(self) -> str:
        """The layer as a file has it."""
        short = [pair[0] if len(set(pair)) == 1 else "x".join(map(str, pair)) for pair in (self.stride, self.pad, self.dilation)]
        stride, pad, dilation = (str(value) for value in short)
        if self.pad[:2] == self.pad[2:] and self.pad[0] != self.pad[1]:
            pad = f"{self.pad[0]}x{self.pad[1]}"
        sizes = f"{self.ic:5} {self.ih:4} {self.iw:4} {self.oc:5} {self.kh:2} {self.kw:2} {stride:>3} {pad:>7} {dilation:>2}"
        return f"{self.name:30} {sizes} {self.groups:4} {self.count:3}"

    def __str__(self) -> str:
        stride = f"stride {self.stride[0]}" if self.stride[0] == self.stride[1] else f"strides {self.stride}"
        groups = f" groups {self.groups}" if self.groups > 1 else ""
        dilated = f" dilation {self.dilation[0]}" if self.dilation != (1, 1) else ""
        return f"{self.name}: {self.ih}x{self.iw}x{self.ic} -> {self.oc}, {self.kh}x{self.kw} {stride}{dilated}{groups}, x{self.count}"


def read_layers(path: str | Path) -> list[Layer]:
    """The layers of a file, or of a file here by its bare name. One a line: name and the numbers of COLUMNS; # starts a comment.

    stride, pad and dilation are one number or several joined by x: 1x7 kernels have pads like 0x3 (vertical, horizontal).
    """
    file = Path(path) if Path(path).is_file() else FOLDER / f"{path}.txt"
    lines = [(number, line.partition("#")[0]) for number, line in enumerate(file.read_text().splitlines(), 1)]
    return [parse_line(line, f"{file}:{number}") for number, line in lines if line.strip()]


def parse_line(line: str, origin: str = "") -> Layer:
    """A line of such a file."""
    name, *values = line.split()
    if len(values) != len(COLUMNS):
        raise ValueError(f"{origin}: expected name {' '.join(COLUMNS)}")
    ic, ih, iw, oc, kh, kw, stride, pad, dilation, groups, count = ([int(part) for part in value.split("x")] for value in values)
    top, left, bottom, right = pad * (4 // len(pad))
    return Layer(name, ic[0], ih[0], iw[0], oc[0], kh[0], kw[0], (stride[0], stride[-1]), (top, left, bottom, right),
                 (dilation[0], dilation[-1]), groups[0], count[0])


@contextmanager
def pinned(isa: str | None, cpus: Sequence[int] | None, count: int = 1) -> Iterator[None]:
    """Context manager: uses an instruction set, if one is named, and pins the process to these CPUs or the first `count` allowed ones."""
    if isa:
        _native.set_isa(isa)
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cpus or allowed[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
