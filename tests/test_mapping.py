"""Weights of a file: mapped, packed into memory of their own, and what becomes of a model whose file is deleted or changed."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node
from onnx import ModelProto, numpy_helper

import fastcnn
from fastcnn import _native, mapping
from fastcnn.ir.errors import FormatError
from fastcnn.mapping import VIEWED_BYTES, Mapping, mapping_of
from fastcnn.reader import read

X = floats(2, 128, 9, 9)


def example() -> ModelProto:
    """Weights long enough for views: of a Conv, a MatMul, an Add that reads them as they lie, and an output."""
    nodes = [node("Conv", ["x", "w"], ["c"], name="c1", pads=[1, 1, 1, 1]), node("MatMul", ["c", "m"], ["d"], name="m1"),
             node("Add", ["d", "table"], ["y"], name="a1")]
    constants = {"w": floats(256, 128, 3, 3) / 32, "m": floats(9, 2048), "table": floats(9, 2048)}
    return model(nodes, {"x": [None, 128, 9, 9]}, ["y", "table"], constants)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(example(), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_read_maps_long_weights_and_copies_short_ones(path: Path) -> None:
    constants = read(path).constants
    assert all(mapping_of(constants[name]) is not None for name in ("w", "m", "table"))
    proto = model([node("Add", ["x", "b"], ["y"])], {"x": [4]}, ["y"], {"b": floats(4)})
    onnx.save(proto, path)
    assert mapping_of(read(path).constants["b"]) is None


def test_bytes_are_not_copied() -> None:
    data = example().SerializeToString()
    assert np.shares_memory(np.frombuffer(data, np.uint8), read(data).constants["w"])


def test_a_mapped_model_computes_what_one_from_bytes_computes(path: Path) -> None:
    for mapped, whole in zip(fastcnn.load(path).run(None, {"x": X}), fastcnn.load(path.read_bytes()).run(None, {"x": X})):
        np.testing.assert_array_equal(mapped, whole)
        assert mapping_of(mapped) is None


def test_no_step_reads_the_file_after_planning(path: Path) -> None:
    loaded = fastcnn.load(path)
    expected = loaded.run(None, {"x": X})
    with path.open("r+b") as file:          # a mapping shows what is written in place
        file.write(bytes(path.stat().st_size))
    for again, before in zip(loaded.run(None, {"x": X}), expected):
        np.testing.assert_array_equal(again, before)


def test_a_deleted_or_replaced_file_stays_readable(path: Path) -> None:
    loaded, x = fastcnn.load(path), X[:1]
    expected = fastcnn.load(path).run(["y"], {"x": x})[0]
    path.unlink()
    np.testing.assert_array_equal(loaded.run(["y"], {"x": x})[0], expected)
    other, size = fastcnn.load(example()), path.with_name("other.onnx")
    size.write_bytes(b"not a model")
    os.replace(size, path)
    np.testing.assert_array_equal(loaded.run(["d"], {"x": x})[0], other.run(["d"], {"x": x})[0])


@pytest.mark.parametrize("content", [b"", None], ids=["cut off", "rewritten"])
def test_planning_refuses_a_file_that_was_changed_in_place(path: Path, content: bytes | None) -> None:
    loaded = fastcnn.load(path)
    expected = loaded.run(None, {"x": X})
    new = path.read_bytes()[::-1] if content is None else content
    status = path.stat()
    path.write_bytes(new)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(FormatError, match="changed in place"):
        loaded.run(None, {"x": X[:1]})
    with pytest.raises(FormatError, match="changed in place"):
        loaded.run(["c"], {"x": X})
    np.testing.assert_array_equal(loaded.run(None, {"x": X})[0], expected[0])


def test_external_data_is_mapped_once(tmp_path: Path) -> None:
    onnx.save(example(), tmp_path / "m.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    constants = read(tmp_path / "m.onnx").constants
    assert len({id(mapping_of(constants[name])) for name in ("w", "m", "table")}) == 1
    np.testing.assert_array_equal(constants["w"], numpy_helper.to_array(example().graph.initializer[0]))


def test_forget_keeps_values(path: Path) -> None:
    table = read(path).constants["table"]
    before = table.copy()
    mapping.forget(table)
    np.testing.assert_array_equal(table, before)
    assert isinstance(mapping_of(table[1:, 2]), Mapping)


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_packing_reads_weights_at_any_address(isa: str, shift: int) -> None:
    def moved(w: np.ndarray) -> np.ndarray:
        memory = np.empty(w.nbytes + 4, np.uint8)
        memory[shift:shift + w.nbytes] = w.view(np.uint8).ravel()
        return memory[shift:shift + w.nbytes].view(np.float32).reshape(w.shape)

    w, m = floats(37, 11, 3, 3), floats(67, 131)
    np.testing.assert_array_equal(_native.pack_winograd(moved(w), 4, 2), _native.pack_winograd(w, 4, 2))
    np.testing.assert_array_equal(_native.pack_conv(moved(w), 1, 2), _native.pack_conv(w, 1, 2))
    for transposed in (False, True):
        np.testing.assert_array_equal(_native.pack_gemm_b(moved(m), transposed, 3), _native.pack_gemm_b(m, transposed, 3))


def test_views_begin_where_copies_end() -> None:
    data = bytes(VIEWED_BYTES + 8)
    assert mapping.bytes_at(data, 8, VIEWED_BYTES).base is not None
    assert mapping.bytes_at(data, 8, VIEWED_BYTES - 1).base is None


@pytest.mark.parametrize("taps", [1, 2, 9, 49, 256, 257, 300])
@pytest.mark.parametrize("groups, oc, ic, nv", [(1, 1, 1, 1), (1, 16, 17, 2), (1, 67, 5, 3), (3, 20, 19, 2)])
def test_pack_conv_layout(isa: str, groups: int, oc: int, ic: int, nv: int, taps: int) -> None:
    w = floats(groups * oc, ic, 1, taps)
    rows = np.ascontiguousarray(w.transpose(0, 2, 3, 1).reshape(groups, oc, taps * ic))
    expected = np.concatenate([_native.pack_gemm_b(np.ascontiguousarray(group.T), True, nv) for group in rows])
    np.testing.assert_array_equal(_native.pack_conv(w, groups, nv), expected)


def scaled_model(form: str) -> ModelProto:
    """A layer whose weights, more than VIEWED_BYTES, are scaled by the BatchNormalization or Mul after it."""
    scale = floats(64) / 4 + 1
    channels = {"scale": scale, "shift": floats(64), "mean": floats(64), "var": np.abs(floats(64)) + 1}
    after = node("BatchNormalization", ["c", *channels], ["y"], name="b1")
    if form == "MatMul":
        return model([node("MatMul", ["x", "w"], ["c"], name="m1"), node("Mul", ["c", "scale"], ["y"], name="b1")], {"x": [None, 512]},
                     ["y"], {"w": floats(512, 64) / 16, "scale": scale})
    if form == "Gemm":
        return model([node("Gemm", ["x", "w"], ["c"], name="g1", alpha=0.5), after], {"x": [None, 512]}, ["y"],
                     {"w": floats(512, 64) / 16, **channels})
    axes = 3 if form.endswith("3d") else 2
    shape = (32, 64) if form.startswith("ConvTranspose") else (64, 32)
    layer = node(form.removesuffix("3d"), ["x", "w"], ["c"], name="c1", pads=[1] * 2 * axes)
    return model([layer, after], {"x": [None, 32, *[None] * axes]}, ["y"], {"w": floats(*shape, *[3] * axes) / 32, **channels})


@pytest.mark.parametrize("form", ["Conv", "Conv3d", "ConvTranspose", "ConvTranspose3d", "Gemm", "MatMul"])
def test_weights_that_passes_scale_are_given_back_and_computed_again(form: str, tmp_path: Path) -> None:
    onnx.save(scaled_model(form), tmp_path / "m.onnx")
    loaded = fastcnn.load(tmp_path / "m.onnx")
    constants = loaded._default.graph.constants
    weights = next(array for array in constants.values() if array.nbytes >= VIEWED_BYTES)
    before, axes = weights.copy(), {"3d": 3}.get(form[-2:], 2)
    shapes = [(2, 512), (300, 512)] if form in ("Gemm", "MatMul") else [(n, 32, *[n + 3] * axes) for n in (1, 2, 13)[:5 - axes]]
    for shape in shapes:                    # other shapes may ask for other packings, or none
        x = floats(*shape)
        np.testing.assert_array_equal(loaded.run(None, {"x": x})[0], fastcnn.load(tmp_path / "m.onnx").run(None, {"x": x})[0])
        assert mapping.is_derived(weights) and not weights.any()
    mapping.recall(weights)
    np.testing.assert_array_equal(weights, before)


def test_planning_refuses_a_changed_file_whose_weights_were_scaled(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(scaled_model("MatMul"), path)
    loaded = fastcnn.load(path)
    loaded.run(None, {"x": floats(2, 512)})
    status = path.stat()
    with path.open("r+b") as file:
        file.write(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    with pytest.raises(FormatError, match="changed in place"):
        loaded.run(None, {"x": floats(500, 512)})


def fill(out: np.ndarray) -> None:
    np.copyto(out, floats(256, 128))


def test_scaled_weights_that_a_step_reads_stay() -> None:
    weights = mapping.derived(floats(256, 128), fill)
    expected = weights.copy()
    mapping.give_back(weights)
    assert not weights.any()
    assert mapping.resident(weights) is weights
    mapping.give_back(weights)
    np.testing.assert_array_equal(weights, expected)


def test_a_chain_of_scaled_weights_is_computed_from_the_first() -> None:
    first = mapping.derived(floats(256, 128), fill)
    source = mapping.filler(first)

    def doubled(out: np.ndarray) -> None:
        source(out)
        out *= 2

    second = mapping.derived(first, doubled)
    expected = 2 * first
    mapping.give_back(first)
    mapping.give_back(second)
    mapping.recall(second.T[3:])
    np.testing.assert_array_equal(second, expected)
    assert not first.any()
