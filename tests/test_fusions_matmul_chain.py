"""MatMulChain: two MatMuls in blocks of rows where what is between them outgrows the cache."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graph_helper import floats, model, node, onnxruntime_run, random_feeds

import fastcnn
from fastcnn.convolve import blocking
from fastcnn.plan.lowering import Stage

WEIGHTS = {"up": floats(6, 40) / np.float32(3), "b": floats(40, seed=2), "down": floats(40, 6, seed=3) / np.float32(7),
           "c": floats(6, seed=4)}


@pytest.fixture
def small_cache(plan_for: Callable[..., Any]) -> None:
    """An L2 of 8 KB: 51 rows of 40 floats."""
    plan_for(l2_bytes=8192)


def steps_of(proto: Any, threads: int = 1) -> list[str]:
    """Kinds of steps, once the results are found to be onnxruntime's."""
    feeds, loaded = random_feeds(proto), fastcnn.load(proto, threads=threads)
    for actual, expected in zip(loaded.run(None, feeds), onnxruntime_run(proto, feeds)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=3e-6 * np.abs(expected).max(initial=1e-6))
    plan = next(iter(loaded._default.plans.values()))
    return [step.kind for stage in plan.stages if isinstance(stage, Stage) for step in stage.steps]


def mlp(x: str = "x") -> list[Any]:
    return [node("MatMul", [x, "up"], ["a"]), node("Add", ["a", "b"], ["d"]), node("Relu", ["d"], ["h"]),
            node("MatMul", ["h", "down"], ["e"])]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [[200, 6], [2, 9, 11, 6], [1, 197, 6]], ids=str)
def test_products_in_blocks_of_rows(shape: list[int], threads: int, isa: str, small_cache: None) -> None:
    rows = int(np.prod(shape[:-1]))
    nodes = [*mlp(), node("Add", ["e", "c"], ["f"]), node("Add", ["f", "x"], ["g"]), node("Sigmoid", ["g"], ["y"])]
    blocks = -(-rows // blocking.chained_rows(rows, 40, threads))
    assert blocks > 2
    assert steps_of(model(nodes, {"x": shape}, ["y"], WEIGHTS), threads) == ["conv", "conv"] * blocks


def test_first_product_reads_a_transposed_value(small_cache: None) -> None:
    nodes = [node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]), *mlp("t"), node("Transpose", ["e"], ["y"], perm=[0, 3, 1, 2])]
    kinds = steps_of(model(nodes, {"x": [1, 6, 11, 13]}, ["y"], WEIGHTS))
    assert kinds.count("conv") > 4


STAYS = {
    "fits": ([*mlp(), node("Abs", ["e"], ["y"])], [30, 6], ["y"]),
    "given out": ([*mlp(), node("Abs", ["e"], ["y"])], [200, 6], ["y", "h"]),
    "read twice": ([*mlp(), node("ReduceMax", ["h"], ["q"], axes=[1]), node("Abs", ["e"], ["y"])], [200, 6], ["y", "q"]),
    "first has a residual": ([node("MatMul", ["x", "up"], ["a"]), node("Add", ["a", "wide"], ["h"]), node("MatMul", ["h", "down"], ["y"])],
                             [200, 6], ["y"]),
    "computed weights": ([node("MatMul", ["x", "up"], ["h"]), node("MatMul", ["h", "free"], ["y"])], [200, 6], ["y"]),
}


@pytest.mark.parametrize("name", STAYS)
def test_products_that_stay_whole(name: str, small_cache: None) -> None:
    nodes, shape, outputs = STAYS[name]
    kinds = steps_of(model(nodes, {"x": shape, "wide": [200, 40], "free": [40, 6]}, outputs, WEIGHTS))
    assert kinds.count("conv") + kinds.count("matmul") == 2


@pytest.mark.parametrize("row", ["haswell", "zen4", "sapphire_rapids"])
def test_blocks_are_alike(row: str, plan_for: Callable[..., Any]) -> None:
    room = plan_for(row).l2_bytes // 4
    for rows, width, threads in ((3136, 384, 1), (3136, 384, 2), (1, 10 ** 9, 1), (50, 7, 4)):
        block = blocking.chained_rows(rows, width, threads)
        assert 1 <= block <= rows and (block == 1 or 4 * width * block <= room * threads + 4 * width)
