"""Remarks: where a network drops pixels at its border, sees too little, or leaves vector lanes empty."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import fastcnn._native as _native
from fastcnn.analysis.receptive import POOLS, WINDOWS, dropped_pixels
from fastcnn.analysis.records import Layer, Remark
from fastcnn.ir.errors import FastCNNError
from fastcnn.ir.spec import DataDependent
from fastcnn.ops.base import BoundNode

WASTED, WORTH = 0.25, 0.01      # share of lanes without a channel; share of all MACs below which that does not matter
BY_LANES = ("groups by lanes", "rotated groups", "joined groups")        # algorithms whose vectors hold channels of several groups


def remarks(nodes: Sequence[BoundNode], layers: Sequence[Layer], outputs: Sequence[str], object_size: int | None) -> list[Remark]:
    """All remarks about a network. layers: those of the nodes, in the same order; there may be more of them."""
    found = [remark for b in nodes for remark in _borders(b)]
    total = sum(layer.macs for layer in layers)
    pairs = list(zip(nodes, layers))
    if object_size is not None:
        found += [remark for b, layer in pairs if set(b.outputs) & set(outputs) for remark in _fields(layer, object_size)]
    return found + [remark for b, layer in pairs for remark in _lanes(b, layer, total)]


def _borders(b: BoundNode) -> Iterator[Remark]:
    if b.op_type not in WINDOWS and b.op_type not in POOLS:
        return
    try:
        dropped = dropped_pixels(b)
    except (FastCNNError, DataDependent, LookupError, TypeError):
        return
    shape = b.args.spec(0).shape
    names = ("planes", "rows", "columns") if len(shape) > 3 else ("", "", "values")
    lost = [f"the last {count} of {shape[axis]} {names[axis - len(shape)]}" for axis, count in dropped]
    if lost:
        yield Remark("border", b.name, f"{b.where()}: its windows do not end at the border: {' and '.join(lost)} are never read")


def _fields(layer: Layer, object_size: int) -> Iterator[Remark]:
    small = [seen for seen in layer.fields if seen.size is not None and seen.size < object_size]
    if small:
        sizes = " x ".join(f"{seen.size:g}" for seen in layer.fields if seen.size is not None)
        yield Remark("field", layer.name, f"{layer.op_type} {layer.name!r}: an output sees {sizes} pixels of {small[0].input!r}, less than "
                     f"the {object_size} of the object")


def _lanes(b: BoundNode, layer: Layer, total: int) -> Iterator[Remark]:
    lanes, groups = _native.vector_length(), b.node.attrs.get("group", 1)
    if not layer.macs or layer.macs < WORTH * total or layer.shape is None or len(layer.shape) < 2 or layer.algorithm.startswith(BY_LANES):
        return
    channels = layer.shape[1] if b.op_type in (*WINDOWS, "ConvTranspose") else layer.shape[-1]
    depthwise = groups > 1 and b.op_type in WINDOWS and b.args.spec(WINDOWS[b.op_type]).shape[1] == 1
    if groups > 1 and not depthwise:
        channels //= groups
    wasted = 1 - channels / (-(-channels // lanes) * lanes)
    if wasted > WASTED:
        yield Remark("lanes", b.name, f"{b.where()}: {channels} output channels{' a group' if groups > 1 and not depthwise else ''} fill "
                     f"{100 * (1 - wasted):.0f} % of vectors of {lanes}")
