"""Writes the layer file of a network:  python -m bench.layers.extract MODEL.onnx ... [--folder FOLDER]

Every two-dimensional convolution with constant weights as the planner gets it: after the passes, with the input shapes of the file
(symbolic sizes are taken as 1), equal ones counted together, in order of first use.
"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.layers import COLUMNS, FOLDER, Layer
from fastcnn.feeds import Feeder
from fastcnn.ir.spec import Spec
from fastcnn.ops.base import BoundNode
from fastcnn.ops.window import resolve
from fastcnn.passes import run_passes
from fastcnn.plan.bind import bind
from fastcnn.reader import read, with_sizes


def layers_of(path: str | Path) -> list[Layer]:
    """The distinct convolutions of an ONNX file."""
    graph = read(path)
    symbols = {dim for info in graph.inputs for dim in info.shape or () if isinstance(dim, str)}
    graph = run_passes(with_sizes(graph, dict.fromkeys(symbols, 1)))
    specs = Feeder(graph.inputs).fixed_specs()
    if specs is None:
        raise SystemExit(f"{path}: an input has no fixed shape")
    bound = bind(graph.nodes, {name: Spec(np.dtype(dtype), shape) for name, (dtype, shape) in specs.items()}, graph.constants, {},
                 graph.opsets)
    counted: dict[Layer, tuple[str, int]] = {}
    for node in bound.nodes:
        if node.node.op_type == "Conv" and not node.node.domain and node.args.spec(0).rank == 4:
            layer = _layer(node)
            name, count = counted.get(layer, (_name(node, len(counted)), 0))
            counted[layer] = (name, count + 1)
    return [replace(layer, name=name, count=count) for layer, (name, count) in counted.items()]


def _layer(bound: BoundNode) -> Layer:
    x, w = bound.args.spec(0).shape, bound.args.spec(1).shape
    window = resolve(bound.args, x[2:], w[2:])
    (sh, sw), (dh, dw) = window.strides, window.dilations
    return Layer("", x[1], x[2], x[3], w[0], w[2], w[3], (sh, sw), (*window.before, *window.after), (dh, dw),  # type: ignore[arg-type]
                 bound.node.attrs.get("group", 1), 1)


def _name(bound: BoundNode, number: int) -> str:
    """The module that the node's name spells out: /layer1/layer1.0/conv1/Conv is layer1.0.conv1."""
    parts: list[str] = []
    for part in "".join(bound.node.name.split()).replace("#", "").strip("/").split("/"):
        if parts and part.startswith(parts[-1] + "."):
            parts.pop()
        parts.append(part)
    return ".".join(parts[:-1] or parts) or f"conv{number}"


def text(network: str, layers: Sequence[Layer]) -> str:
    """The file."""
    head = f"# The convolutions of {network} at batch 1, in order of first use. name {' '.join(COLUMNS)}"
    return "\n".join([head, *(layer.line() for layer in layers)]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.layers.extract", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the text files go; default: beside this program")
    args = parser.parse_args(arguments)
    for model in args.models:
        name = Path(model).stem
        file = args.folder / f"{name}.txt"
        file.write_text(text(name, layers_of(model)))
        print(f"{file}: {len(file.read_text().splitlines()) - 1} layers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
