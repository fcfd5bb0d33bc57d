"""Receptive fields: against published ones, and against what a change of one pixel changes."""
from __future__ import annotations

import numpy as np
import pytest
from graph_helper import floats, model, node
from weightless import weightless

import fastcnn

# Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks", Distill 2019, before the flattening.
PUBLISHED = {"alexnet": (195, 32), "mobilenet_v1": (315, 32)}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_receptive_field_is_the_published_one(name):
    with fastcnn.load(weightless(name), threads=1) as net:
        local = [layer.fields for layer in net.summary().layers if layer.fields and layer.fields[0].size is not None]
    assert [(field.size, field.stride) for field in local[-1]] == [PUBLISHED[name]] * 2


CASES = {
    "strided": [node("Conv", ["x", "w"], ["y"], "c", strides=[2, 2], pads=[1, 1, 1, 1])],
    "dilated": [node("Conv", ["x", "w"], ["y"], "c", dilations=[2, 3], pads=[2, 3, 2, 3])],
    "pooled": [node("Conv", ["x", "w"], ["a"], "c"), node("MaxPool", ["a"], ["y"], "p", kernel_shape=[3, 2], strides=[2, 2])],
    "residual": [node("Conv", ["x", "w"], ["a"], "c", pads=[1, 1, 1, 1]), node("Conv", ["a", "w"], ["b"], "d", pads=[1, 1, 1, 1]),
                 node("Add", ["b", "x"], ["e"], "e"), node("Relu", ["e"], ["y"], "r")],
    "padded": [node("Pad", ["x", "pads"], ["p"], "p"), node("Conv", ["p", "w"], ["y"], "c")],
    "joined": [node("Conv", ["x", "w"], ["a"], "c", pads=[1, 1, 1, 1]), node("Conv", ["x", "v"], ["b"], "d"),
               node("Concat", ["a", "b"], ["j"], "j", axis=1), node("Conv", ["j", "u"], ["y"], "e")],
    "sliced": [node("Conv", ["x", "w"], ["a"], "c"), node("Slice", ["a", "starts", "ends", "axes"], ["y"], "s")],
    "transposed": [node("Conv", ["x", "w"], ["a"], "c"), node("Transpose", ["a"], ["y"], "t", perm=[0, 2, 3, 1])],
    "channels last": [node("Transpose", ["x"], ["a"], "t", perm=[0, 1, 3, 2]), node("Conv", ["a", "w"], ["y"], "c", strides=[1, 2])],
    "merged and split": [node("Conv", ["x", "w"], ["a"], "c"), node("Reshape", ["a", "rows"], ["b"], "r"),
                         node("Transpose", ["b"], ["e"], "t", perm=[1, 0, 2]), node("Reshape", ["e", "maps"], ["f"], "s"),
                         node("Conv", ["f", "w"], ["y"], "d")],
    "deeper": [node("SpaceToDepth", ["x"], ["a"], "s", blocksize=2), node("Conv", ["a", "q"], ["y"], "c")],
}
CONSTANTS = {"w": floats(3, 3, 3, 3), "v": floats(3, 3, 1, 1), "u": floats(2, 6, 3, 3), "q": floats(2, 12, 2, 2),
             "rows": np.array([3, 1, 144]), "maps": np.array([1, 3, 12, 12]),
             "pads": np.array([0, 0, 2, 1, 0, 0, 2, 1]), "starts": np.array([3, 1]), "ends": np.array([9, 9]), "axes": np.array([2, 3])}


def changed(net: fastcnn.Model, x: np.ndarray, axis: int, at: int) -> list[tuple[int, int]]:
    """(axis of the output, index) of every line that changes with the pixels of one line of the input."""
    before, other = net(x), x.copy()
    np.moveaxis(other, axis, 0)[at] += 1
    moved = net(other) != before
    return [(k, i) for k in range(1, moved.ndim) for i in range(moved.shape[k]) if np.moveaxis(moved, k, 0)[i].any()]


@pytest.mark.parametrize("case", list(CASES))
def test_receptive_field_is_what_a_changed_pixel_reaches(case):
    """Unit i of the axis that runs along an input axis depends on exactly the pixels offset + stride * i ... + size - 1."""
    used = {name for n in CASES[case] for name in n.input}
    proto = model(CASES[case], {"x": [1, 3, 14, 14]}, ["y"], {name: value for name, value in CONSTANTS.items() if name in used})
    x = floats(1, 3, 14, 14, seed=3)
    with fastcnn.load(proto, threads=1, accuracy="strict") as net:
        layer = net.summary().layers[-1]
        shape = layer.shape
        assert layer.fields and {field.axis for field in layer.fields} == {2, 3}
        for field in layer.fields:
            reached = [changed(net, x, field.axis, at) for at in range(14)]
            along = {1: 1, 2: 2, 3: 3}[field.axis] if case not in ("transposed", "channels last") else {
                "transposed": field.axis - 1, "channels last": 5 - field.axis}[case]
            for i in range(shape[along]):
                sees = {at for at in range(14) if (along, i) in reached[at]}
                first = field.offset + field.stride * i
                assert sees <= {at for at in range(14) if first <= at < first + field.size}
                inside = [at for at in (first, first + field.size - 1) if 0 <= at < 14]
                assert sees >= set(inside), "the ends of the field are read"


def test_receptive_field_of_global_operators_is_everything():
    proto = model([node("Conv", ["x", "w"], ["a"], "c"), node("GlobalAveragePool", ["a"], ["g"], "g"), node("Sigmoid", ["g"], ["s"], "s"),
                   node("Mul", ["a", "s"], ["y"], "m")], {"x": [1, 3, 14, 14]}, ["y"], {"w": CONSTANTS["w"]})
    with fastcnn.load(proto, threads=1) as net:
        fields = {layer.name: layer.fields for layer in net.summary().layers}
    assert [field.size for field in fields["c"]] == [3, 3]
    assert [(field.size, field.stride) for field in fields["m"]] == [(None, 1), (None, 1)]
