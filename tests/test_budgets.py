"""Budgets: models that would take memory, nodes, steps or rounds without bound are refused with an error that names the node."""
from __future__ import annotations

import signal
import threading
import tracemalloc
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from graph_helper import model
from onnx import TensorProto, helper, numpy_helper

import fastcnn
from fastcnn import cpu
from fastcnn.budget import FREE_BYTES, MOST_NODES, Budget
from fastcnn.ir.tensor import Buffer
from fastcnn.ops.convolution import conv_transpose
from fastcnn.plan import arena

node = helper.make_node
F32, INT64 = np.float32, np.int64
MEMORY = 1 << 26
HUGE = 1 << 62


def one(op_type: str, inputs: list[str], x: list, constants: dict, opset: int = 17, **attrs) -> onnx.ModelProto:
    return model([node(op_type, inputs, ["y"], name="n", **attrs)], {"x": x}, ["y"], constants, opset)


def transposed(**attrs) -> onnx.ModelProto:
    return one("ConvTranspose", ["x", "w"], [1, 1, 4, 4], {"w": np.ones((1, 1, 2, 2), F32)}, **attrs)


def doubling(start: str) -> onnx.ModelProto:
    nodes = [node("Concat", [f"v{k}"] * 2, [f"v{k + 1}"], axis=0, name=f"n{k}") for k in range(40)]
    nodes += [node("ReduceSum", ["v40"], ["r"]), node("Add", ["x", "r"], ["y"])]
    return model([node("Relu", [start], ["v0"]), *nodes], {"x": [64]}, ["y"], {"c": np.ones(64, F32)})


def filled(count: int) -> onnx.ModelProto:
    nodes = [node("ConstantOfShape", ["s"], ["c"], name="n"), node("ReduceSum", ["c"], ["r"], keepdims=0, name="n"),
             node("Add", ["x", "r"], ["y"])]
    return model(nodes, {"x": [2]}, ["y"], {"s": np.array([count])})


def ranged() -> onnx.ModelProto:
    nodes = [node("Range", ["a", "b", "c"], ["r"], name="n"), node("ReduceSum", ["r"], ["s"], keepdims=0), node("Cast", ["s"], ["t"], to=1),
             node("Add", ["x", "t"], ["y"])]
    return model(nodes, {"x": [2]}, ["y"], {"a": np.array(0), "b": np.array(HUGE), "c": np.array(1)})


def loop(rounds: int | None, rows: bool = False, start: str = "x", step: str = "Neg") -> onnx.ModelProto:
    outputs = ["on", "b", *(["b"] if rows else [])]
    body = helper.make_graph([node("Identity", ["go"], ["on"]), node(step, ["a"], ["b"])], "body",
                             [helper.make_tensor_value_info(*i) for i in (("i", 7, []), ("go", 9, []), ("a", 1, [2]))],
                             [onnx.ValueInfoProto(name=o) for o in outputs])
    made = ["z", *(["rows"] if rows else [])]
    nodes = [node("Loop", ["m" if rounds is not None else "", "", start], made, body=body, name="n"), node("Add", ["x", "z"], ["y"])]
    constants = {"k": np.ones(2, F32), **({} if rounds is None else {"m": np.array(rounds)})}
    return model(nodes, {"x": [2]}, ["y", *made[1:]], constants)


def calls(levels: int, each: int) -> onnx.ModelProto:
    proto = model([node(f"F{levels}", ["x"], ["y"], domain="l", name="n")], {"x": [2]}, ["y"], opset=17)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("l", 1)]
    functions = [helper.make_function("l", "F0", ["x"], ["y"], [node("Neg", ["x"], ["y"])], imports)]
    for k in range(levels):
        inner = [node(f"F{k}", [f"v{i}" if i else "x"], [f"v{i + 1}" if i < each - 1 else "y"], domain="l") for i in range(each)]
        functions.append(helper.make_function("l", f"F{k + 1}", ["x"], ["y"], inner, imports))
    proto.functions.extend(functions)
    return proto


BOMBS: dict[str, Callable[[], onnx.ModelProto]] = {
    "ConvTranspose dilation": lambda: transposed(dilations=[(1 << 31) - 1, 1]),
    "ConvTranspose stride": lambda: transposed(strides=[(1 << 31) - 1, 1]),
    "ConvTranspose steps": lambda: transposed(strides=[100_000, 1]),
    "Conv steps": lambda: one("Conv", ["x", "w"], [1, 1, 30_000, 2, 2], {"w": np.ones((1, 1, 2, 2, 2), F32)}),
    "input": lambda: one("Relu", ["x"], [1 << 40], {}),
    "Expand": lambda: one("Expand", ["x", "s"], [3], {"s": np.array([1 << 40, 1])}),
    "Tile": lambda: one("Tile", ["x", "r"], [2], {"r": np.array([HUGE])}),
    "Pad": lambda: one("Pad", ["x", "p"], [2], {"p": np.array([1 << 61, 1 << 61])}),
    "Resize": lambda: one("Resize", ["x", "", "s"], [1, 1, 2, 2], {"s": np.array([1, 1, 1e18, 1e18], F32)}),
    "OneHot": lambda: model([node("OneHot", ["i", "d", "v"], ["y"], name="n")], {"i": [2]}, ["y"],
                            {"d": np.array(HUGE), "v": np.array([0, 1], F32)}, types={"i": TensorProto.INT64}),
    "Einsum": lambda: one("Einsum", ["x"] * 16, [8], {}, equation=",".join("abcdefghijklmnop") + "->abcdefghijklmnop"),
    "MatMul of vectors": lambda: one("MatMul", ["x", "w"], [1 << 20, 1], {"w": np.ones((1, 1 << 20), F32)}),
    "Concat of constants": lambda: doubling("c"),
    "Concat of inputs": lambda: doubling("x"),
    "ReduceSum of 10^12": lambda: filled(10**12),
    "ReduceSum of 10^9": lambda: filled(10**9),
    "Range": ranged,
    "Loop of rows": lambda: loop(HUGE, rows=True),
    "functions": lambda: calls(8, 8),
}


@pytest.mark.parametrize("what", BOMBS)
def test_model_beyond_its_budget_is_refused(what, monkeypatch):
    proto = BOMBS[what]()
    monkeypatch.setattr(conv_transpose, "takes_product", lambda *_: False)      # a step a phase, also where one product would do
    with pytest.raises(fastcnn.LimitError, match=r"'n\d*'|input 'x'|function l::F\d") as error:
        fastcnn.load(proto, max_memory=MEMORY, threads=1)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("what", ["Expand", "Tile", "Pad"])
def test_sizes_that_only_the_run_tells_are_in_the_budget_too(what):
    constants = {"Expand": [1 << 40, 2], "Tile": [1 << 40], "Pad": [1 << 40, 0]}
    proto = model([node(what, ["x", "s"], ["y"], name="n")], {"x": [2], "s": [len(constants[what])]}, ["y"], types={"s": TensorProto.INT64})
    loaded = fastcnn.load(proto, max_memory=MEMORY)
    feeds = {"x": np.ones(2, F32), "s": np.array(constants[what])}
    with pytest.raises(fastcnn.LimitError, match="'n'"):
        loaded.run(None, feeds)
    small = loaded.run(None, {**feeds, "s": np.array([1] * len(constants[what]))})[0]
    assert small.size <= 4


def test_rows_of_rounds_are_in_the_budget():
    """A Loop that goes on for ever and keeps a row a round ends when they take too much."""
    with pytest.raises(fastcnn.LimitError, match="Loop 'n': what the rounds make takes"):
        fastcnn.load(loop(None, rows=True), max_memory=100_000).run(None, {"x": np.ones(2, F32)})


def test_activations_together_are_in_the_budget():
    nodes = [node("Add", [f"v{k}", "w"], [f"v{k + 1}"], name=f"n{k}") for k in range(20)]
    nodes += [node("Concat", [f"v{k}" for k in range(21)], ["y"], axis=0)]
    proto = model(nodes, {"v0": [1000]}, ["y"], {"w": np.ones(1000, F32)})
    with pytest.raises(fastcnn.LimitError, match=r"from Add 'n0' to Concat .* takes \d+ bytes"):
        fastcnn.load(proto, max_memory=100_000)
    assert fastcnn.load(proto, max_memory=300_000)(np.ones(1000, F32)).shape == (21_000,)


def test_packed_weights_are_in_the_budget():
    proto = one("Conv", ["x", "w"], [1, 64, 8, 8], {"w": np.ones((64, 64, 3, 3), F32)})
    with pytest.raises(fastcnn.LimitError, match="Conv 'n': with its weights the model takes"):
        fastcnn.load(proto, max_memory=120_000)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"])
def test_max_memory_without_meaning_is_refused(value):
    with pytest.raises(fastcnn.ConfigurationError, match="max_memory="):
        fastcnn.load(one("Relu", ["x"], [2], {}), max_memory=value)


def test_memory_limit_is_the_tightest_there_is(tmp_path):
    (tmp_path / "cgroup").write_text("0::/a/b\n1:memory:/old\n")
    whole = cpu.memory_limit(tmp_path / "none", tmp_path / "missing")
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/memory.max").write_text("1000000\n")
    (tmp_path / "a/b/memory.max").write_text("max\n")
    assert cpu.memory_limit(tmp_path, tmp_path / "cgroup") == 1_000_000 < whole
    (tmp_path / "memory/old").mkdir(parents=True)
    (tmp_path / "memory/old/memory.limit_in_bytes").write_text("65536\n")
    assert cpu.memory_limit(tmp_path, tmp_path / "cgroup") == 65536


def test_too_many_nodes_are_refused():
    proto = model([node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"])
    proto.graph.node.extend([proto.graph.node[0]] * MOST_NODES)
    with pytest.raises(fastcnn.LimitError, match=f"{MOST_NODES + 1} nodes"):
        fastcnn.load(proto)


def test_long_chains_are_laid_out_at_once():
    """Pairs of buffers that live at different times are not compared, and no more than a bounded number of others."""
    buffers = [Buffer(np.dtype(F32), 16, first=k, last=k + 1) for k in range(40_000)]
    assert arena.place(buffers) == 2 * 64
    alive = [Buffer(np.dtype(F32), 16, first=k, last=40_000) for k in range(20_000)]
    assert arena.place(alive) == 20_000 * 64
    assert sorted(b.offset for b in alive) == list(range(0, 20_000 * 64, 64))


def test_rounds_that_keep_nothing_take_no_memory():
    """A Loop without scan outputs takes the same for any number of rounds."""
    loaded = fastcnn.load(model([node("Loop", ["m", "", "x"], ["y"], body=loop(None).graph.node[0].attribute[0].g, name="n")],
                                {"m": [], "x": [2]}, ["y"], types={"m": TensorProto.INT64}))

    def peak(rounds: int) -> int:
        tracemalloc.start()
        loaded.run(None, {"m": np.array(rounds), "x": np.ones(2, F32)})
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(10_000) < peak(100) + 64 * 1024


def test_rows_without_elements_are_in_the_budget():
    loaded = fastcnn.load(model([node("Loop", ["", "", "x"], ["y", "rows"], body=loop(None, rows=True).graph.node[0].attribute[0].g,
                                      name="n")], {"x": [0]}, ["y", "rows"]), max_memory=1 << 16)
    with pytest.raises(fastcnn.LimitError, match="Loop 'n': what the rounds make takes"):
        loaded.run(None, {"x": np.ones(0, F32)}, timeout=600)


# ---- rounds that never end ----


@pytest.mark.parametrize("rounds", [None, HUGE])
@pytest.mark.parametrize("start", ["x", "k"], ids=["of the input", "of constants"])
def test_timeout_ends_a_loop(rounds, start):
    loaded = fastcnn.load(loop(rounds, start=start))
    with pytest.raises(fastcnn.TimeLimitError, match="Loop 'n'"):
        loaded.run(None, {"x": np.ones(2, F32)}, timeout=0.2)
    with pytest.raises(TimeoutError):
        loaded.run(None, {"x": np.ones(2, F32)}, timeout=0)


def test_interrupt_ends_a_loop():
    """Whoever starts the suite in the background of a shell has it ignore SIGINT: the handler is set here."""
    loaded, x = fastcnn.load(loop(HUGE)), np.ones(2, F32)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            loaded.run(None, {"x": x}, timeout=600)
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(fastcnn.TimeLimitError):
        loaded.run(None, {"x": x}, timeout=0.05)


@pytest.mark.parametrize("threads", [1, 2])
def test_timeout_ends_a_native_run_between_steps(threads):
    """A chain of large products: after the timeout no step begins, the model goes on working."""
    nodes = [node("MatMul", [f"v{k}", "w"], [f"v{k + 1}"], name=f"n{k}") for k in range(30)]
    proto = model(nodes, {"v0": [256, 1024]}, ["v30"], {"w": np.eye(1024, dtype=F32)})
    loaded, x = fastcnn.load(proto, threads=threads), np.ones((256, 1024), F32)
    np.testing.assert_allclose(loaded(x), x)
    with pytest.raises(fastcnn.TimeLimitError, match=r"between 'n0.*n29'"):
        loaded.run(None, {"v0": x}, timeout=0)
    np.testing.assert_allclose(loaded.run(None, {"v0": x}, timeout=600)[0], x)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True])
def test_timeout_without_meaning_is_refused(timeout):
    with pytest.raises(fastcnn.InputError, match="timeout="):
        fastcnn.load(one("Relu", ["x"], [2], {})).run(None, {"x": np.ones(2, F32)}, timeout=timeout)


def test_rounds_without_inputs_are_not_computed_at_load():
    """A Loop of constants is left to the run where it has many rounds."""
    loaded = fastcnn.load(loop(1001, start="k"))
    assert "Loop" in str(loaded._default.graph)
    np.testing.assert_array_equal(loaded.run(["y"], {"x": np.zeros(2, F32)})[0], -np.ones(2, F32))


def test_tensor_of_repeated_elements_takes_no_memory():
    proto = model([node("ConstantOfShape", ["s"], ["c"], value=numpy_helper.from_array(np.array([3], F32))), node("Shape", ["c"], ["y"])],
                  {"x": [1]}, ["y"], {"s": np.array([1 << 20, 1 << 10])})
    assert fastcnn.load(proto).run(None, {"x": np.ones(1, F32)})[0].tolist() == [1 << 20, 1 << 10]


def test_budget_asks_for_the_limit_only_where_a_value_is_large():
    asked = []
    budget = Budget(lambda: asked.append(1) or 2 * FREE_BYTES)
    budget.check(FREE_BYTES, "x")
    budget.check_value(np.dtype(np.uint8), (FREE_BYTES,), "x")
    assert not asked
    with pytest.raises(fastcnn.LimitError, match="at most"):
        budget.check(2 * FREE_BYTES + 1, "x")
    budget.check_value(np.dtype(np.uint8), (2 * FREE_BYTES,), "x")
    assert asked == [1]
    with pytest.raises(fastcnn.LimitError):
        Budget(5).check(6, "x")
