"""What passes know of shapes is inferred again only where the graph has changed, and is what inferring all of it would say."""
from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from fastcnn.inference.types import infer_types
from fastcnn.ir.graph import Graph, Node
from fastcnn.passes import LOOKS_FOR, PASSES
from fastcnn.passes.fold.shape_knowledge import shape_knowledge, start_knowledge
from fastcnn.reader import read

PASSES_FOLDER = Path(__file__).parent.parent / "fastcnn" / "passes"
LIST_CHANGES = {"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"}


def graph_of_sizes() -> Graph:
    """Reshape to (n, k) of sizes taken from x: what k is becomes known when a constant does."""
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
             helper.make_node("Identity", ["k"], ["k2"]), helper.make_node("Concat", ["n", "k2"], ["target"], axis=0),
             helper.make_node("Reshape", ["x", "target"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    constants = [helper.make_tensor(name, TensorProto.INT64, [1], [v]) for name, v in (("zero", 0), ("k", 12))]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "sizes", [info("x", 1, ["n", 3, 4])], [info("z", 1, None)], constants)
    return read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


def facts_of(graph: Graph) -> dict[str, object]:
    values = {v for node in graph.nodes for v in node.outputs}
    tables = {"types": graph.types, "shapes": graph.shapes, "contents": graph.contents or {}}
    return {key: {v: table[v] for v in values if v in table} for key, table in tables.items()}


def full_facts(graph: Graph) -> dict[str, object]:
    fresh = replace(graph, **infer_types(graph).facts())
    return facts_of(fresh)


def as_constant(graph: Graph) -> None:
    """k2 as a constant of another value."""
    graph.nodes = [n for n in graph.nodes if n.outputs != ("k2",)]
    graph.constants["k2"] = np.array([6], np.int64)


def as_other_node(graph: Graph) -> None:
    """z by a node of another shape."""
    graph.nodes = [*graph.nodes[:-1], Node("Flatten", ("y",), ("z",), {"axis": 0}, "flat", "", 17)]


def between(graph: Graph) -> None:
    """A transposition before the Relu."""
    graph.nodes = [*graph.nodes[:-1], Node("Transpose", ("y",), ("t",), {"perm": [1, 0]}, "t", "", 17),
                   replace(graph.nodes[-1], inputs=("t",))]


@pytest.mark.parametrize("change", [as_constant, as_other_node, between], ids=lambda f: f.__name__)
def test_facts_after_a_change_are_those_of_inferring_everything(change):
    graph = graph_of_sizes()
    start_knowledge(graph)
    assert not shape_knowledge(graph)
    change(graph)
    shape_knowledge(graph)
    assert facts_of(graph) == full_facts(graph)


def test_facts_of_what_has_not_changed_are_kept():
    graph = graph_of_sizes()
    start_knowledge(graph)
    kept = graph.shapes["target"] = ("kept",)
    as_other_node(graph)
    shape_knowledge(graph)
    assert graph.shapes["target"] is kept


def test_producers_and_consumers_follow_the_nodes():
    graph = graph_of_sizes()
    assert graph.producers()["z"].op_type == "Relu" and [n.op_type for n in graph.consumers()["y"]] == ["Relu"]
    as_other_node(graph)
    assert graph.producers()["z"].op_type == "Flatten" and "Relu" not in graph.operators()
    assert [n.op_type for n in graph.consumers()["x"]] == ["Shape", "Reshape"]
    assert graph.fresh_name("z") == "z_1" and graph.fresh_name("x") == "x_1" and graph.fresh_name("k") == "k_1"


@pytest.mark.parametrize("path", sorted(PASSES_FOLDER.rglob("*.py")), ids=lambda p: p.stem)
def test_passes_do_not_change_a_list_of_nodes_in_place(path):
    """Producers, consumers and what is known of shapes belong to one list of nodes."""
    for node in ast.walk(ast.parse(path.read_text())):
        target = node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) \
            and node.func.attr in LIST_CHANGES else node.value if isinstance(node, ast.Subscript) \
            and not isinstance(node.ctx, ast.Load) else None
        assert not (isinstance(target, ast.Attribute) and target.attr == "nodes"), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("rewrite", list(LOOKS_FOR), ids=lambda f: f.__name__)
def test_passes_leave_a_graph_without_their_operators_as_it_is(rewrite):
    graph = graph_of_sizes()
    graph.nodes = [node for node in graph.nodes if node.op_type not in LOOKS_FOR[rewrite]]
    assert rewrite in PASSES and not rewrite(graph)
