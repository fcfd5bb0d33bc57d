"""Fusions: whatever neighbours are fused, numbers stay those of each node by itself."""
from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from graph_helper import model, node, onnxruntime_run

import fastcnn
from fastcnn import _native
from fastcnn.convolve import kept_width, planes_chain
from fastcnn.convolve.tile import MAX_NV
from fastcnn.fusions import FUSIONS, LAST, conv_depthwise, conv_pool, fused
from fastcnn.fusions.fused import Fused
from fastcnn.plan import lowering, stage

C = 16
RNG = np.random.default_rng(0)
WEIGHTS = {name: (RNG.standard_normal(shape) * np.prod(shape[1:]) ** -0.5).astype(np.float32) for name, shape in {
    "dense": (C, C, 3, 3), "narrow": (C, C, 2, 1), "point": (C, C, 1, 1), "depth": (C, 1, 3, 3), "bias": (C,), "mean": (C,)}.items()}
WEIGHTS["variance"] = WEIGHTS["scale"] = (np.abs(WEIGHTS["bias"]) + 1).astype(np.float32)


def link(kind: str, x: str, y: str) -> list[Any]:
    """The nodes of one kind that make y of x."""
    if kind == "gate":
        return [node("GlobalAveragePool", [x], [f"{y}g"]), node("Sigmoid", [f"{y}g"], [f"{y}s"]), node("Mul", [x, f"{y}s"], [y])]
    if kind == "skip":
        return [node("Conv", [x, "depth"], [f"{y}d"], group=C, pads=[1] * 4), node("Conv", [f"{y}d", "point"], [f"{y}p"]),
                node("Add", [f"{y}p", x], [y])]
    if kind == "average":
        return [node("MaxPool", [x], [f"{y}m"], kernel_shape=[3, 3]), node("GlobalAveragePool", [x], [f"{y}g"]),
                node("Add", [f"{y}m", f"{y}g"], [y])]
    return {"dense": [node("Conv", [x, "dense", "bias"], [y], strides=[1, 2])], "narrow": [node("Conv", [x, "narrow"], [y])],
            "point": [node("Conv", [x, "point", "bias"], [f"{y}c"]), node("Relu", [f"{y}c"], [y])],
            "depth": [node("Conv", [x, "depth"], [y], group=C, pads=[1] * 4)],
            "norm": [node("BatchNormalization", [x, "scale", "bias", "mean", "variance"], [f"{y}n"]), node("Relu", [f"{y}n"], [y])],
            "pool": [node("MaxPool", [x], [y], kernel_shape=[2, 2], strides=[2, 2])],
            "overlap": [node("AveragePool", [x], [y], kernel_shape=[3, 3], strides=[2, 1])]}[kind]


KINDS = ("gate", "skip", "average", "dense", "narrow", "point", "depth", "norm", "pool", "overlap")


def network(kinds: Sequence[str]) -> Any:
    nodes = [n for k, kind in enumerate(kinds) for n in link(kind, f"v{k}", f"v{k + 1}")]
    used = {name for n in nodes for name in n.input}
    return model(nodes, {"v0": [1, C, 24, 26]}, [f"v{len(kinds)}"], {name: w for name, w in WEIGHTS.items() if name in used})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The kinds of fusions that were made; maps of any size are worth them."""
    found: set[str] = set()

    def recorded(fusion: type[Fused], *args: Any, absorb: Any = fused.absorb) -> list[Any]:
        units = absorb(fusion, *args)
        found.update(unit.op_type for unit in units if isinstance(unit, Fused))
        return units
    monkeypatch.setattr(fused, "absorb", recorded)
    monkeypatch.setattr(planes_chain, "pays", lambda layers: False)        # a chain on planes leaves no neighbours
    monkeypatch.setattr(conv_depthwise, "SHARE_OF_L2", 0)
    monkeypatch.setattr(conv_pool, "SHARE_OF_L2", 0)
    return found


def test_neighbours_of_every_kind_give_the_numbers_of_each_node_by_itself(made: set[str], monkeypatch: pytest.MonkeyPatch,
                                                                          plan_for: Any) -> None:
    """Three of them in every order: where two fusions want the same node one has it, whole."""
    plan_for("sapphire_rapids")
    x = np.random.default_rng(1).standard_normal((1, C, 24, 26)).astype(np.float32)
    for kinds in product(KINDS, repeat=3):
        proto = network(kinds)
        got = fastcnn.load(proto, threads=1)(x)
        with monkeypatch.context() as alone:
            alone.setattr(stage, "FUSIONS", [])
            alone.setattr(stage, "LAST", [])
            expected = fastcnn.load(proto, threads=1)(x)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4, err_msg=" ".join(kinds))
    elsewhere = {"MatMulChain", "RoundedProduct"}       # test_fusions_matmul_chain.py, test_plan_float_storage.py
    assert made == {fusion.__name__ for fusion in (*FUSIONS, *LAST)} - elsewhere


@pytest.mark.parametrize("nv", range(1, MAX_NV + 1))
@pytest.mark.parametrize("isa", _native.isas())
def test_tile_width_kept_from_another_shape_changes_no_number(made: set[str], monkeypatch: pytest.MonkeyPatch, isa: str, nv: int) -> None:
    """A width that weights are packed for is kept where the step can have it: the last of three convolutions reads one panel."""
    before = _native.current_isa()
    _native.set_isa(isa)
    rng, wide = np.random.default_rng(nv), 2 * _native.vector_length()
    weights = {name: (rng.standard_normal(shape) * np.prod(shape[1:]) ** -0.5).astype(np.float32) for name, shape in {
        "first": (wide, C, 1, 1), "depth": (wide, 1, 3, 3), "last": (C, wide, 1, 1), "banded": (wide, C, 3, 3)}.items()}
    ends = {"last": [node("Conv", ["b", "last"], ["y"])], "depth": [node("Relu", ["b"], ["y"])],
            "pool": [node("MaxPool", ["a"], ["y"], kernel_shape=[2, 2], strides=[2, 2])]}
    depth = node("Conv", ["a", "depth"], ["b"], group=wide, pads=[1] * 4)
    x = rng.standard_normal((3, C, 20, 8)).astype(np.float32)
    try:
        monkeypatch.setattr(kept_width, "KEEP_WIDTH", float("inf"))
        monkeypatch.setattr(lowering.StageLowering, "widths", lambda self, key, groups=1: [nv] if _native.gemm_max_mr(nv) else [])
        for first, end in product(("first", "banded"), ends):
            nodes = [node("Conv", ["x", first], ["a"], pads=[int(first == "banded")] * 4), *([] if end == "pool" else [depth]), *ends[end]]
            proto = model(nodes, {"x": x.shape}, ["y"], {name: w for name, w in weights.items() if any(name in n.input for n in nodes)})
            (wanted,) = onnxruntime_run(proto, {"x": x})
            np.testing.assert_allclose(fastcnn.load(proto, threads=1)(x), wanted, rtol=0, atol=1e-5, err_msg=f"{first} {end}")
    finally:
        _native.set_isa(before)
    assert made >= {"ConvDepthwise", "ConvPool"}
