"""group_normalization: InstanceNormalization between two Reshapes, as exporters write GroupNormalization."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from graph_helper import check_rewrite, floats, model, node

import fastcnn
from fastcnn.passes import run_passes
from fastcnn.passes.fold.affine_after import affine_after
from fastcnn.passes.recognise.group_normalization import group_normalization

SHAPE = (2, 12, 5, 7)


def spelled_out(groups: int = 3, shape: Sequence[int | str] = SHAPE, target: Sequence[int] | None = None,
                back: Sequence[int] | None = None, affine: Sequence[int] | None = (12, 1, 1), scale: np.ndarray | None = None,
                outputs: Sequence[str] = ("y",), **attrs: float):
    """back None: reshaped to Shape(x)."""
    constants = {"to": np.array(target or [0, groups, -1]), "s": np.ones(groups, np.float32) if scale is None else scale,
                 "b": np.zeros(groups, np.float32) if scale is None else scale[::-1].copy()}
    nodes = [node("Reshape", ["x", "to"], ["planes"]), node("InstanceNormalization", ["planes", "s", "b"], ["unit"], **attrs)]
    if back is None:
        nodes.append(node("Shape", ["x"], ["back"]))
    else:
        constants["back"] = np.array(back)
    nodes.append(node("Reshape", ["unit", "back"], ["n" if affine else "y"]))
    if affine:
        constants |= {"gamma": floats(*affine), "beta": floats(*affine, seed=2)}
        nodes += [node("Mul", ["n", "gamma"], ["m"]), node("Add", ["m", "beta"], ["y"])]
    return model(nodes, {"x": shape}, outputs, constants, 17)


@pytest.mark.parametrize("how", [
    {}, {"groups": 1}, {"groups": 12}, {"back": SHAPE}, {"epsilon": 0.01}, {"scale": floats(3)}, {"target": [2, 3, -1]},
    {"target": [2, 3, 140], "back": [2, 12, 5, 7]}, {"back": [0, 12, 5, -1]}, {"affine": None}, {"affine": (1, 12, 1, 1)}, {"affine": (1,)},
    {"shape": (2, 12, 40)}, {"shape": (2, 12, 3, 4, 5), "affine": (12, 1, 1, 1)},
], ids=str)
def test_group_normalization_spelled_out(how):
    shape = how.get("shape", SHAPE)
    if len(shape) == 3 and "affine" not in how:
        how = {**how, "affine": (12, 1)}
    left = ["Shape"] if how.get("back") is None else []
    graph = check_rewrite(spelled_out(**how), [group_normalization, affine_after], [*left, "GroupNormalization"])
    found = graph.nodes[-1]
    assert found.attrs["num_groups"] == how.get("groups", 3) and found.attrs["epsilon"] == pytest.approx(how.get("epsilon", 1e-5))
    assert [n.op_type for n in run_passes(graph).nodes] == ["GroupNormalization"]


@pytest.mark.parametrize("shape", [("n", 12, "h", "w"), ("n", 12, "h", 7), (1, 12, None, None)], ids=str)
def test_group_normalization_of_symbolic_extents(shape):
    check_rewrite(spelled_out(shape=shape), [group_normalization, affine_after], ["Shape", "GroupNormalization"], {"h": 6, "w": 3})


@pytest.mark.parametrize("how", [
    {"groups": 5, "shape": (2, 12, 5, 7)},                  # groups that end within a channel
    {"target": [1, 3, -1]},                                 # over both images
    {"target": [4, 3, -1], "back": [2, 12, 5, 7]},          # of a part of an image
    {"back": [2, 12, 7, 5]},                                # another shape than before
    {"shape": ("n", "c", 5, 7), "affine": None},            # who knows how many channels
], ids=str)
def test_group_normalization_nearly_spelled_out_stays(how):
    proto = spelled_out(**{"affine": None, **how})
    symbols = {"n": 2, "c": 12}
    check_rewrite(proto, group_normalization, [n.op_type for n in proto.graph.node], symbols)


@pytest.mark.parametrize("read", ["planes", "unit"])
def test_group_normalization_whose_inside_is_an_output_stays(read):
    proto = spelled_out(outputs=["y", read])
    check_rewrite(proto, group_normalization, [n.op_type for n in proto.graph.node])


def test_affine_of_another_axis_stays_behind():
    proto = spelled_out(affine=(7,))
    check_rewrite(proto, [group_normalization, affine_after], ["Shape", "GroupNormalization", "Mul", "Add"])


@pytest.mark.parametrize("offset", [0, 10, 1000])
@pytest.mark.parametrize("groups", [1, 2])
def test_group_normalization_of_long_planes_against_float64(groups, offset):
    x = (floats(1, 4, 500, 401) + offset).astype(np.float32)
    proto = spelled_out(groups, x.shape, affine=None)
    wide = x.astype(np.float64).reshape(1, groups, -1)
    wanted = ((wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)).reshape(x.shape)
    got, = fastcnn.load(proto, threads=2).run(None, {"x": x})
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-6 + 6e-8 * offset)
