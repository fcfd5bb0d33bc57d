"""Weights of a file: mapped, packed into memory of their own, and what becomes of a model whose file is deleted or changed."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node
from onnx import ModelProto, numpy_helper

import fastcnn
from fastcnn import _native, mapping, passes
from fastcnn.ir.errors import FormatError
from fastcnn.mapping import VIEWED_BYTES, Mapping, mapping_of
from fastcnn.plan import executor, plan
from fastcnn.reader import model_file, read

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


def restore_time(path: Path, status: os.stat_result) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, 5000)


def write(path: Path) -> None:
    """The same size and times, other weights. The clock that stamps files ticks some hundred times a second."""
    status = path.stat()
    time.sleep(0.05)
    with path.open("r+b") as file:
        file.seek(status.st_size // 4)
        file.write(bytes(status.st_size // 2))
    restore_time(path, status)


STAGES = [(model_file, "decode"), (model_file, "check_graph"), (passes, "run_passes"), (executor, "make_plan"),
          (plan, "lower_in_parts")]


@pytest.mark.parametrize("change", [cut, write])
@pytest.mark.parametrize("module, stage", STAGES, ids=[stage for _, stage in STAGES])
def test_a_file_changed_while_it_is_loaded_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, stage: str,
                                                      change: Callable[[Path], None]) -> None:
    """Nothing ends the process: what was cut off reads as zeros until somebody looks whether the file is what it was."""
    monkeypatch.setattr(module, stage, changing(path, change, getattr(module, stage)))
    proto = example()
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(proto, path)
    with pytest.raises(FormatError, match="changed in place"):
        fastcnn.load(path)


@pytest.mark.parametrize("change", [cut, write])
@pytest.mark.parametrize("module, stage", STAGES[3:], ids=[stage for _, stage in STAGES[3:]])
def test_a_file_changed_while_a_shape_is_planned_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, stage: str,
                                                            change: Callable[[Path], None]) -> None:
    loaded = fastcnn.load(path)
    expected = loaded.run(None, {"x": X})
    with monkeypatch.context() as patch:
        patch.setattr(module, stage, changing(path, change, getattr(module, stage)))
        for _ in range(2):
            with pytest.raises(FormatError, match="changed in place"):
                loaded.run(None, {"x": X[:1]})
    for again, before in zip(loaded.run(None, {"x": X}), expected):
        np.testing.assert_array_equal(again, before)


def changing(path: Path, change: Callable[[Path], None], stage: Callable[..., object]) -> Callable[..., object]:
    """A stage that begins with a change of the file, the first time."""
    left = [change]

    def changed(*args: object, **options: object) -> object:
        while left:
            left.pop()(path)
        return stage(*args, **options)
    return changed


def test_external_data_that_is_cut_short_while_it_is_loaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(example(), tmp_path / "m.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    monkeypatch.setattr(model_file, "check_graph", changing(tmp_path / "weights", cut, model_file.check_graph))
    with pytest.raises(FormatError, match=r"weights.* was changed in place"):
        fastcnn.load(tmp_path / "m.onnx").run(None, {"x": X})


@pytest.mark.parametrize("other", ["rights", "link", "renamed", "deleted", "replaced"])
def test_names_and_rights_of_a_file_may_change(path: Path, other: str) -> None:
    loaded, time_before = fastcnn.load(path), path.stat().st_ctime_ns
    time.sleep(0.05)
    new = path.with_name("new.onnx")
    match other:
        case "rights":
            path.chmod(0o600 if path.stat().st_mode & 0o77 else 0o644)
        case "link":
            os.link(path, new)
        case "renamed":
            path.rename(new)
        case "deleted":
            path.unlink()
        case "replaced":
            new.write_bytes(b"not a model")
            os.replace(new, path)
    assert not path.exists() or path.stat().st_ctime_ns != time_before
    for got, want in zip(loaded.run(None, {"x": X}), fastcnn.load(example()).run(None, {"x": X})):
        np.testing.assert_array_equal(got, want)


def reading_program(program: str, path: Path) -> subprocess.CompletedProcess[str]:
    """A process that loads models, with `own`, the file as loading maps it, and `foreign`, another mapping of it, which is cut short."""
    head = f"""
        import faulthandler, mmap, os, signal
        import fastcnn.model
        from fastcnn.mapping import mapped, reading
        path = {str(path)!r}
        with open(path, "rb") as stream:
            own, foreign = mapped(stream, path), mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        os.truncate(path, 5000)
        at = len(own) - 1
        """
    return subprocess.run([sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(program)], capture_output=True, text=True)


def test_what_is_cut_off_reads_as_zeros_inside_of_reading_alone(path: Path) -> None:
    result = reading_program("""
        try:
            with reading([]):
                with reading([]):
                    pass
                print(own[at], own[100_000:100_004])
                own.check()
        except fastcnn.FastCNNError:
            print("refused")
        with open(path, "rb") as stream:
            other = mapped(stream, path)
            print(len(other), other is own, own[at], flush=True)
        os.truncate(path, 0)
        other[0]
        """, path)
    assert result.stdout.splitlines() == ["0 b'\\x00\\x00\\x00\\x00'", "refused", "5000 False 0"]
    assert result.returncode == -signal.SIGBUS


@pytest.mark.parametrize("by", ["", "faulthandler.enable()"])
@pytest.mark.parametrize("cause", ["foreign[at]", "signal.raise_signal(signal.SIGBUS)"])
def test_other_bus_errors_go_where_they_went(path: Path, by: str, cause: str) -> None:
    for first, later in ((by, "pass"), ("pass", by)):
        onnx.save(example(), path)
        result = reading_program(f"""
            {first or "pass"}
            with reading([]):
                {later or "pass"}
                print(own[at], flush=True)
                {cause}
            print("alive")
            """, path)
        assert result.returncode == -signal.SIGBUS and "alive" not in result.stdout
        assert ("Bus error" in result.stderr) == bool(by)
        assert later == by or result.stdout == "0\n"


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
    data = bytes(range(256)) * (VIEWED_BYTES // 256 + 1)
    views = [mapping.bytes_at(data, 8, count) for count in (VIEWED_BYTES, VIEWED_BYTES - 1, 1, 0)]
    assert [np.shares_memory(view, np.frombuffer(data, np.uint8)) for view in views] == [True, False, False, False]
    for view in views:
        assert view.tobytes() == data[8:8 + view.size] and not view.flags.writeable


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
