"""The cards: one for every operator with a kernel, and what they say holds."""
from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from graph_helper import model
from onnx import TensorProto, helper

import fastcnn
from fastcnn import _native
from fastcnn.inference.rules import OTHERS, RULES
from fastcnn.onnx_proto.types import ELEMENT_NUMBERS
from fastcnn.operators.card import MANY
from fastcnn.operators.cards import CARDS, FAMILIES, FORMULAS, TABLE
from fastcnn.operators.elementwise import OWN_DOMAIN
from fastcnn.ops import OPS
from fastcnn.ops.base import Op
from fastcnn.ops.elementwise import elementwise
from fastcnn.plan import batches
from fastcnn.plan.batches import Repeated, Segment
from fastcnn.schema.typing import typing_of

BATCH, OPSET = 6, 24
# Functions of a kernel that are no operators: the identity of epilogues, activations of recurrent layers.
NO_OPERATORS = {"None", "Affine", "ScaledTanh", "RoundClip", "RoundTwice"}
ATTRIBUTES = {"BitShift": {"direction": "LEFT"}, "Mod": {"fmod": 1}, "Cast": {"to": TensorProto.DOUBLE}}
WORKING = ("tensor(float)", "tensor(int32)", "tensor(uint8)", "tensor(bool)")


def test_every_operator_has_a_card_and_every_card_an_operator():
    assert CARDS.keys() == OPS.keys()


def test_operators_are_those_of_the_modules_that_the_table_names():
    assert all(isinstance(OPS[key], Op) for key in OPS)
    named: dict[str, set[str]] = {}
    for modules in TABLE.values():
        for module, cards in modules.items():
            named.setdefault(module, set()).update(cards)
    assert {module: set(import_module(f"fastcnn.ops.{module}").OPERATORS) for module in named} == named
    with pytest.raises(KeyError):
        OPS["", "Nonsense"]
    assert sum(map(len, FAMILIES.values())) == len(CARDS)


def test_what_works_element_by_element_says_so():
    assert {name for (_, name), card in CARDS.items() if card.operands} == {*elementwise.OPERATORS, "Identity"}


def test_every_card_has_a_shape_rule():
    missing = [key for key in CARDS if key[1] not in (RULES if not key[0] else {name for domain, name in OTHERS if domain == key[0]})]
    assert not missing


def test_functions_of_cards_are_those_of_kernels():
    assert FORMULAS.keys() == _native.UNARY.keys() - NO_OPERATORS


def test_readme_lists_the_operators_by_family():
    text = (Path(__file__).parent.parent / "README.md").read_text()
    section = re.search(r"<!-- operators -->(.*?)<!-- end of operators -->", text, re.DOTALL)[1]
    rows = [line.strip("| ").split(" | ") for line in section.strip().splitlines()[2:]]
    assert {family: sorted(re.findall(r"\b[A-Z]\w+", names)) for family, names in rows} \
        == {family: sorted(cards) for family, cards in FAMILIES.items()}


@pytest.fixture
def every_image_alone(monkeypatch):
    monkeypatch.setattr(batches, "_segments", lambda bound, inputs, batch: [
        Segment(i, i + 1, batch if np.isinf(row[0]) else 1)
        for i, row in enumerate(batches._costs(bound, inputs, batch, [1, batch]))])
    monkeypatch.setattr(batches, "SINGLE_THREAD_PROGRAM", 0)


def kinds_of(name: str, domain: str, count: int) -> list[str]:
    """An element type for each of so many operands, floats where they may be."""
    typing = typing_of(name, OPSET, domain) if not domain else None
    if typing is None:
        return ["tensor(float)"] * count
    return [next(kind for kind in WORKING if typing.allows(typing.variable(i), kind)) for i in range(count)]


def example(domain: str, name: str) -> tuple[object, dict[str, np.ndarray]]:
    """A model of the operator alone, every operand a batch, and its inputs."""
    count = CARDS[domain, name].operands
    kinds = kinds_of(name, domain, 3 if count == MANY else count + (name == "CastLike"))
    rng = np.random.default_rng(3)
    dtypes = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_}
    feeds = {f"x{i}": rng.uniform(0, 3, (BATCH, 5, 3)).astype(dtypes[kind]) for i, kind in enumerate(kinds)}
    node = helper.make_node(name, list(feeds), ["y"], domain=domain, **ATTRIBUTES.get(name, {}))
    types = {f"x{i}": ELEMENT_NUMBERS[re.sub(r"tensor\((.*)\)", r"\1", kind)] for i, kind in enumerate(kinds)}
    return model([node], {name: ["N", 5, 3] for name in feeds}, ["y"], opset=OPSET, types=types), feeds


@pytest.mark.parametrize("key", [key for key, card in CARDS.items() if card.operands and key[1] != "Identity"],
                         ids=lambda key: key[1])
def test_what_works_element_by_element_is_cut_by_batches_with_the_same_bits(key, monkeypatch, every_image_alone):
    proto, feeds = example(*key)
    cut = fastcnn.load(proto, threads=1)
    parts = cut.run(None, feeds)[0]
    plan, = cut._default.plans.values()
    assert all(isinstance(stage, Repeated) and stage.times == BATCH for stage in plan.stages) and plan.stages
    monkeypatch.setattr(batches, "_segments", lambda bound, inputs, batch: [Segment(0, len(bound.nodes), batch)])
    whole = fastcnn.load(proto, threads=1).run(None, feeds)[0]
    np.testing.assert_array_equal(parts, whole)


def test_the_own_domain_has_what_is_not_onnx():
    own = {name for domain, name in CARDS if domain == OWN_DOMAIN}
    assert own == {"LocallyConnected", "RoundFloat16", "RoundBfloat16", *FAMILIES["8 bits"]}
    assert {key for key in CARDS if key[0] not in ("", OWN_DOMAIN)} == {("com.microsoft", "DynamicQuantizeLSTM")}
