"""bench.layers.held: layers of both engines joined by what they make, losses, the table."""
from __future__ import annotations

import onnx
import pytest
from graph_helper import model, node

import models
from bench.layers import held
from fastcnn.analysis.steps import Unit


def test_layers_of_a_network_have_the_times_of_both(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(held, "ROUND_SECONDS", 1e-9)
    path = tmp_path / "lenet5.onnx"
    onnx.save(models.build("lenet5"), str(path))
    layers, others = held.layers_of(path, 0.0)
    assert len(layers) >= 5 and others >= 0
    assert sum(layer.macs for layer in layers) == 416_520, "of the two convolutions and three products"
    convolutions = [layer for layer in layers if layer.macs]
    assert all(layer.ours > 0 for layer in convolutions) and any(layer.theirs > 0 for layer in convolutions)
    assert held.main([str(path), "--worst", "2", "--seconds", "0"]) == 0
    assert capsys.readouterr().out.count("\n") == 3


def test_what_is_made_on_the_way_belongs_to_the_unit():
    nodes = [node("Conv", ["x", "w"], ["c"], name="first"), node("Relu", ["c"], ["r"], name="act"), node("Neg", ["r"], ["y"], name="neg")]
    graph = model(nodes, {"x": [1, 1, 3, 3], "w": [1, 1, 1, 1]}, ["y"], opset=17).graph
    owner = held.owners(graph, [Unit(("r.before",), 0), Unit(("y",), 0)])
    assert (owner["c"], owner["node first"], owner["node act"], owner["y"], owner["node neg"]) == (0, 0, 0, 1, 1)


def test_nodes_that_onnxruntime_names_itself_belong_to_the_layer_before_them():
    owner = {"c": 0, "node norm": 1, "node up": 2, "node down": 2}
    nodes = {("c_nchwc", "Conv"): 1.0, ("ReorderOutput", "ReorderOutput"): 2.0, ("norm", "LayerNormalization"): 4.0,
             ("gemm_input_reshape", "Reshape"): 8.0, ("up/MatMulAddFusion", "Gemm"): 16.0, ("Gelu_token_3", "Gelu"): 32.0,
             ("fused down", "FusedMatMul"): 64.0, ("Transpose_token_1", "Transpose"): 128.0}
    assert held.joined(nodes, owner) == {0: 1.0, 1: 4.0, 2: 112.0, None: 138.0}


def test_loss_is_what_an_aim_leaves():
    layer = held.Layer("y", "GEMM", 30.0, 30.0, 1000)
    assert layer.loss(1.5) == pytest.approx(10.0) and layer.loss(1.0) == 0.0
    rows = held.table("net", [layer, held.Layer("z", "pool", 5.0, 9.0, 0)], 6.0, 1.5, 1, 100.0)
    assert rows[0].startswith("| **net** | all steps | 35 | 45 | 1.29 |") and rows[1].startswith("| y |") and len(rows) == 2
