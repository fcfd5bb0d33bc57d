"""Batch rules of the cards that are not element by element: image by image is the whole batch, where a rule lets a batch be cut."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from graph_helper import model
from onnx import helper

import fastcnn
from fastcnn.operators.cards import CARDS, FAMILIES
from fastcnn.plan import batches
from fastcnn.plan.batches import Repeated, Segment

N = 4
RNG = np.random.default_rng(5)


@dataclass(frozen=True)
class Case:
    """One node whose first input is a batch of N, the others constants (None: left out); cut: whether the batch may be cut."""

    operator: str
    shape: tuple[int, ...]
    constants: tuple[np.ndarray | None, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    cut: bool = True
    opset: int = 18
    outputs: int = 1

    def __str__(self) -> str:
        values = [[round(float(v), 2) for v in c.ravel()] if c is not None and c.size < 5 else "..." for c in self.constants]
        return f"{self.operator}-{self.opset}-{'x'.join(map(str, self.shape))}-{self.attributes}-{values}"


def f(*shape: int) -> np.ndarray:
    return RNG.uniform(0.1, 1, shape).astype(np.float32)


def i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


IMAGE, SQUARE = (N, 3, 8, 8), (N, N, N, N)
SAMPLINGS = [{"mode": mode, "coordinate_transformation_mode": c}
             for mode in ("nearest", "linear", "cubic") for c in ("half_pixel", "asymmetric")]
CASES = [
    Case("Conv", IMAGE, (f(5, 3, 3, 3), f(5))), Case("ConvTranspose", IMAGE, (f(3, 5, 3, 3),)),
    *(Case("Gemm", (N, N), (f(N, N), c), {"transA": t}, cut=not t)
      for t in (0, 1) for c in (f(N), f(1, N), f(N, N))),             # a matrix C is added apart
    *(Case("MatMul", a, (b,), cut=b.ndim <= 2) for a, b in [((N, 5), f(5, N)), ((N, 3, 5), f(5, 7)), ((N, 3, 5), f(N, 5, 7))]),
    *(Case(name, IMAGE, (), {"kernel_shape": [2, 2]}) for name in ("MaxPool", "AveragePool", "LpPool")),
    *(Case(name, IMAGE) for name in ("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool")),
    *(Case("BatchNormalization", SQUARE, (f(N), f(N), f(N), f(N)), {"training_mode": t}, cut=not t, opset=15) for t in (0, 1)),
    Case("InstanceNormalization", SQUARE, (f(N), f(N))), Case("LRN", SQUARE, (), {"size": 3}),
    Case("GroupNormalization", SQUARE, (f(N), f(N)), {"num_groups": 2}, opset=21),
    *(Case("LayerNormalization", SQUARE, (f(*[N] * (4 - a)), f(*[N] * (4 - a))), {"axis": a}, cut=a > 0) for a in (0, 1, 3)),
    *(Case("RMSNormalization", SQUARE, (f(*[N] * (4 - a)),), {"axis": a}, cut=a > 0, opset=23) for a in (0, 2)),
    *(Case(name, SQUARE, (), {"axis": a}, cut=a % 4 > 0, opset=o) for name in ("Softmax", "LogSoftmax") for o in (11, 13)
      for a in (0, 1, -1, -4)),
    *(Case(name, SQUARE, (), {"axes": [a], "keepdims": k}, cut=a % 4 > 0, opset=11) for a in (0, 2, -1, -4) for k in (0, 1)
      for name in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
                   "ReduceLogSum", "ReduceLogSumExp")),
    *(Case("Reshape", SQUARE, (i(*t),), cut=t[0] == 0) for t in ((0, N * N, N), (N, -1), (N * N, -1))),      # N is not a part's size
    *(Case("Flatten", SQUARE, (), {"axis": a}, cut=a == 1) for a in (1, 2)),
    Case("Squeeze", (N, 1, N), (i(1),)), Case("Unsqueeze", SQUARE, (i(1),)), Case("Unsqueeze", SQUARE, (i(0),), cut=False),
    *(Case("Transpose", SQUARE, (), {"perm": p}, cut=p[0] == 0) for p in ([0, 3, 1, 2], [1, 0, 2, 3], [3, 2, 1, 0])),
    Case("Transpose", (N, N), cut=False),
    Case("Dropout", SQUARE, opset=13),
    *(Case("Split", SQUARE, (i(1, N - 1),), {"axis": a}, cut=a % 4 > 0, outputs=2) for a in (0, 2, -4)),
    *(Case("Slice", SQUARE, (i(N - 1), i(-100), i(a), i(-1)), cut=a % 4 > 0) for a in (0, 2, -4)),
    *(Case("Gather", SQUARE, (i(3, 2, 1, 0),), {"axis": a}, cut=a % 4 > 0) for a in (0, 2, -4)),
    *(Case("Concat", SQUARE, (f(*SQUARE),), {"axis": a}, cut=False) for a in (0, 1)),
    *(Case("Pad", SQUARE, (i(*p),), {"mode": m}, cut=p[0] == 0, opset=19) for p in ([0, 0, 1, 1, 0, 0, 1, 1], [1, 0, 0, 0, -1, 0, 0, 0])
      for m in ("constant", "reflect", "edge")),
    *(Case(name, (N, 4, 4, 4), (), {"blocksize": 2}) for name in ("DepthToSpace", "SpaceToDepth")),
    # a scale of 1.2 leaves 4 images 4 and makes each of two
    *(Case("Resize", IMAGE, (None, np.array([s, 1, 2, 2], np.float32)), how, cut=s == 1) for how in SAMPLINGS for s in (1, 1.1, 1.2)),
    *(Case("Upsample", IMAGE, (np.array([s, 1, 2, 2], np.float32),), {"mode": m}, cut=s == 1, opset=9)
      for m in ("nearest", "linear")
      for s in (1, 1.2)),
    Case("Resize", IMAGE, (None, np.array([2, 2], np.float32)), {"axes": [2, 3], "mode": "linear"}),
]


def computed(case: Case, segments: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[list[np.ndarray], bool]:
    """The outputs, and whether parts were run."""
    constants = {f"c{k}": c for k, c in enumerate(case.constants) if c is not None}
    names = ["x", *(f"c{k}" if c is not None else "" for k, c in enumerate(case.constants))]
    outputs = [f"y{k}" for k in range(case.outputs)]
    proto = model([helper.make_node(case.operator, names, outputs, **case.attributes)], {"x": case.shape}, outputs, constants,
                  case.opset)
    x = np.random.default_rng(7).uniform(-1, 1, case.shape).astype(np.float32)
    monkeypatch.setattr(batches, "_segments", segments)
    monkeypatch.setattr(batches, "SINGLE_THREAD_PROGRAM", 0)
    network = fastcnn.load(proto, threads=1)
    result = network.run(None, {"x": x})
    plan, = network._default.plans.values()
    return result, any(isinstance(stage, Repeated) for stage in plan.stages)


def image_by_image(bound: Any, inputs: set[str], batch: int) -> list[Segment]:
    costs = batches._costs(bound, inputs, batch, [1, batch])
    return [Segment(k, k + 1, batch if np.isinf(row[0]) else 1) for k, row in enumerate(costs)]


def at_once(bound: Any, inputs: set[str], batch: int) -> list[Segment]:
    return [Segment(0, len(bound.nodes), batch)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_image_by_image_is_the_whole_batch(case, monkeypatch):
    parts, cut = computed(case, image_by_image, monkeypatch)
    whole, _ = computed(case, at_once, monkeypatch)
    assert cut == case.cut
    for a, b in zip(parts, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_every_batch_rule_has_a_case():
    """Those of bytes that passes make have theirs in test_ops_quantized.py."""
    rules = {name for (_, name), card in CARDS.items() if card.batch is not None and not card.operands and name not in FAMILIES["8 bits"]}
    assert rules == {case.operator for case in CASES}
