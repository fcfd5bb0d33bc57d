"""Single convolutions by every algorithm: the layers of real networks, one text file each, and what can compute them."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastcnn.choice.conv import ConvShape

FOLDER = Path(__file__).parent
COLUMNS = ("ic", "ih", "iw", "oc", "kh", "kw", "stride", "pad", "groups", "count")


@dataclass(frozen=True)
class Layer:
    """A convolution of a network and how often it occurs there; ic and oc count all groups, pad is the same on every side."""

    name: str
    ic: int
    ih: int
    iw: int
    oc: int
    kh: int
    kw: int
    stride: int
    pad: int
    groups: int
    count: int

    def shape(self, batch: int = 1) -> ConvShape:
        """As the planner sees it."""
        oh = (self.ih + 2 * self.pad - self.kh) // self.stride + 1
        ow = (self.iw + 2 * self.pad - self.kw) // self.stride + 1
        return ConvShape(batch, self.groups, self.ic // self.groups, self.oc // self.groups, self.kh, self.kw, self.stride, self.stride,
                         1, 1, self.pad, self.pad, self.ih, self.iw, oh, ow)

    def __str__(self) -> str:
        groups = f" groups {self.groups}" if self.groups > 1 else ""
        return f"{self.name}: {self.ih}x{self.iw}x{self.ic} -> {self.oc}, {self.kh}x{self.kw} stride {self.stride}{groups}, x{self.count}"


def read_layers(path: str | Path) -> list[Layer]:
    """The layers of a file, or of a file here by its bare name. One a line: name and the numbers of COLUMNS; # starts a comment."""
    file = Path(path) if Path(path).is_file() else FOLDER / f"{path}.txt"
    layers = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        name, *numbers = line.partition("#")[0].split() or [""]
        if not name:
            continue
        if len(numbers) != len(COLUMNS):
            raise ValueError(f"{file}:{number}: expected name {' '.join(COLUMNS)}")
        layers.append(Layer(name, *map(int, numbers)))
    return layers
