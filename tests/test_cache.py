"""load(cache=): what is found again, what is not, and that nothing about the folder fails a load."""
from __future__ import annotations

import io
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_helper import model
from onnx import helper

import fastcnn
from fastcnn import sources
from fastcnn.compiled import Cache, cache_of

X = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)


def network(seed: int = 1, batch: int | str = 1) -> onnx.ModelProto:
    """Two convolutions with an activation between them, which passes fuse: the value "a" is not in the compiled model."""
    rng = np.random.default_rng(seed)
    weights = {"w": rng.standard_normal((8, 3, 3, 3)), "v": rng.standard_normal((4, 8, 1, 1))}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], "first", pads=[1, 1, 1, 1]), helper.make_node("Relu", ["a"], ["b"], "relu"),
             helper.make_node("Conv", ["b", "v"], ["y"], "second")]
    return model(nodes, {"x": [batch, 3, 16, 16]}, ["y"], {name: array.astype(np.float32) for name, array in weights.items()})


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(network().SerializeToString())
    settle(path)
    return path


def settle(path: Path) -> None:
    """The file looks as if it had been written an hour ago. Its time of change cannot be set, so that notes look settled at once."""
    os.utime(path, (time.time() - 3600,) * 2)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("fastcnn.compiled.cache.SETTLED_NS", 0)
    return tmp_path / "cache"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.fcnn"))


def is_kept(loaded: fastcnn.Model) -> bool:
    """Whether the model came from the cache."""
    return loaded._compiled


def test_cache_second_load_maps_what_the_first_kept_and_reads_no_onnx(file, folder, monkeypatch):
    first = fastcnn.load(file, cache=folder)
    wanted, = first.run(None, {"x": X})
    monkeypatch.setattr("fastcnn.reader.read", lambda *args: pytest.fail("the ONNX file was read"))
    again = fastcnn.load(file, cache=folder)
    assert is_kept(again) and not is_kept(first) and len(entries(folder)) == 1
    assert np.array_equal(again.run(None, {"x": X})[0], wanted)
    assert str(again) == str(first) and again.metadata == first.metadata


def test_cache_is_off_by_default_and_on_by_the_environment(file, folder, monkeypatch):
    monkeypatch.setenv("FASTCNN_CACHE", str(folder))
    monkeypatch.delenv("FASTCNN_MODEL_CACHE", raising=False)
    fastcnn.load(file)
    assert not folder.exists()
    monkeypatch.setenv("FASTCNN_MODEL_CACHE", "1")
    fastcnn.load(file)
    assert len(entries(folder / "models")) == 1
    assert is_kept(fastcnn.load(file)) and not is_kept(fastcnn.load(file, cache=False))
    for name, value in (("FASTCNN_MODEL_CACHE", "yes"), ("FASTCNN_MODEL_CACHE_MB", "-1")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(fastcnn.ConfigurationError, match=name):
                fastcnn.load(file)
    with pytest.raises(fastcnn.ConfigurationError, match="cache=3"):
        fastcnn.load(file, cache=3)


def test_cache_values_inside_the_graph_come_from_the_file(file, folder):
    wanted = fastcnn.load(file, cache=folder).run(["a", "y"], {"x": X})
    again = fastcnn.load(file, cache=folder)
    for one, other in zip(again.run(["a", "y"], {"x": X}), wanted, strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(fastcnn.InputError, match="no value 'z'"):
        again.run(["z"], {"x": X})
    again = fastcnn.load(file, cache=folder)
    file.write_bytes(network(2).SerializeToString())
    with pytest.raises(fastcnn.FastCNNError, match="changed after"):
        again.run(["a"], {"x": X})
    again.run(None, {"x": X})


def test_cache_finds_a_copy_and_not_a_changed_file(file, folder):
    fastcnn.load(file, cache=folder)
    copy = Path(shutil.copy(file, file.with_name("copy.onnx")))
    assert is_kept(fastcnn.load(copy, cache=folder)) and len(entries(folder)) == 1
    file.write_bytes(network(2).SerializeToString())
    changed = fastcnn.load(file, cache=folder)
    assert not is_kept(changed) and len(entries(folder)) == 2
    assert np.array_equal(changed.run(None, {"x": X})[0], fastcnn.load(file).run(None, {"x": X})[0])


def test_cache_does_not_trust_how_a_file_looks_that_was_just_written(file, folder, monkeypatch):
    """Within a step of the file system's clock it may be written again, with the same size and times."""
    monkeypatch.setattr("fastcnn.compiled.cache.SETTLED_NS", 1 << 62)
    fastcnn.load(file, cache=folder)
    assert cache_of(folder).find(str(file)) is None
    assert is_kept(fastcnn.load(file, cache=folder))


@pytest.mark.parametrize("options", [{"accuracy": "strict"}, {"accuracy": {"first": "strict"}}, {"threads": 2}, {"precision": "bf16"},
                                     {"weights": "int8"}])
def test_cache_keeps_models_of_other_options_apart(file, folder, options):
    fastcnn.load(file, cache=folder, threads=1)
    assert not is_kept(fastcnn.load(file, cache=folder, **{"threads": 1, **options}))
    again = fastcnn.load(file, cache=folder, **{"threads": 1, **options})
    assert is_kept(again) and len(entries(folder)) == 2
    assert np.array_equal(again.run(None, {"x": X})[0], fastcnn.load(file, **{"threads": 1, **options}).run(None, {"x": X})[0])


def test_cache_keeps_other_machines_and_versions_apart(file, folder, monkeypatch):
    fastcnn.load(file, cache=folder)
    from fastcnn.machine.current import current, using
    from fastcnn.machine.table import ROWS
    with using(next(row for row in ROWS.values() if row != current())):
        assert not is_kept(fastcnn.load(file, cache=folder))
    monkeypatch.setattr("fastcnn.compiled.cache.__version__", "0.0.0")
    assert not is_kept(fastcnn.load(file, cache=folder))
    monkeypatch.setattr("fastcnn.compiled.cache.made_for", dict)
    assert not is_kept(fastcnn.load(file, cache=folder))


def test_cache_digest_covers_external_data(tmp_path, folder):
    path, data = tmp_path / "apart.onnx", tmp_path / "apart.bin"
    onnx.save(network(), path, save_as_external_data=True, location=data.name, size_threshold=0)
    for one in (path, data):
        settle(one)
    first = fastcnn.load(path, cache=folder).run(None, {"x": X})[0]
    assert is_kept(fastcnn.load(path, cache=folder))
    fresh = tmp_path / "fresh.bin"
    fresh.write_bytes((2 * np.frombuffer(data.read_bytes(), np.float32)).tobytes())
    os.replace(fresh, data)
    changed = fastcnn.load(path, cache=folder)
    assert not is_kept(changed) and np.allclose(changed.run(None, {"x": X})[0], 4 * first, atol=1e-4)


def test_cache_of_symbolic_shapes_packs_when_it_runs(tmp_path, folder):
    path = tmp_path / "net.onnx"
    path.write_bytes(network(batch="N").SerializeToString())
    settle(path)
    first = fastcnn.load(path, cache=folder)
    again = fastcnn.load(path, cache=folder)
    assert is_kept(again) and np.array_equal(again.run(None, {"x": X})[0], first.run(None, {"x": X})[0])


def test_cache_leaves_out_what_a_compiled_model_cannot_do(file, folder):
    proto = network()
    proto.graph.input.append(helper.make_tensor_value_info("v", onnx.TensorProto.FLOAT, [4, 8, 1, 1]))
    file.write_bytes(proto.SerializeToString())
    for _ in range(2):
        loaded = fastcnn.load(file, cache=folder)
        assert [info.name for info in loaded.get_overridable_initializers()] == ["v"]
    assert not entries(folder)
    fastcnn.load(network().SerializeToString(), cache=folder)
    assert not entries(folder)


@pytest.mark.parametrize("damage", ["cut", "bytes", "empty", "another file"])
def test_cache_damaged_entries_are_told_deleted_and_made_again(file, folder, caplog, damage):
    wanted, = fastcnn.load(file, cache=folder).run(None, {"x": X})
    entry, = entries(folder)
    content = entry.read_bytes()
    damaged = {"cut": content[:-100], "bytes": content[:20] + b"?" + content[21:], "empty": b"", "another file": b"x" * 999}
    entry.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING, "fastcnn.cache"):
        assert np.array_equal(fastcnn.load(file, cache=folder).run(None, {"x": X})[0], wanted)
    assert is_kept(fastcnn.load(file, cache=folder))
    for note in folder.glob("*.json"):
        note.write_bytes(b"{")
    assert np.array_equal(fastcnn.load(file, cache=folder).run(None, {"x": X})[0], wanted)


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied"),
                                   OSError(30, "Read-only file system")])
def test_cache_that_cannot_be_written_is_a_warning(file, folder, monkeypatch, caplog, fault):
    def refuse(*args, **kwargs):
        raise fault

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "fastcnn.cache"):
        patch.setattr("fastcnn.compiled.container.os.replace", refuse)
        assert fastcnn.load(file, cache=folder).run(None, {"x": X})[0].shape == (1, 4, 16, 16)
        assert "cannot be kept" in caplog.text and not list(folder.glob("*.fcnn*"))
        patch.setattr("fastcnn.compiled.cache.os.makedirs", refuse)
        assert fastcnn.load(file, cache=folder / "deeper").run(None, {"x": X})[0].shape == (1, 4, 16, 16)
    (folder.parent / "file").write_bytes(b"")
    fastcnn.load(file, cache=folder.parent / "file")


def test_cache_deletes_what_was_used_longest_ago(tmp_path, folder):
    files = []
    for seed in range(3):
        files.append(tmp_path / f"{seed}.onnx")
        files[-1].write_bytes(network(seed).SerializeToString())
        settle(files[-1])
        fastcnn.load(files[-1], cache=folder)
    cache = cache_of(folder)
    by_model = {Path(entry.models[0]).name: entry for entry in cache.entries()}
    now = time.time()
    for age, name in ((30, "0.onnx"), (20, "1.onnx"), (10, "2.onnx")):
        os.utime(by_model[name].path, (now - age,) * 2)
    assert is_kept(fastcnn.load(files[0], cache=folder))                # the oldest was used again
    left_behind = folder / "x.fcnn.1.ab"
    left_behind.write_bytes(b"")
    os.utime(left_behind, (0, 0))
    Cache(str(folder), 2 * by_model["0.onnx"].size).prune()
    assert {Path(entry.models[0]).name for entry in cache.entries()} == {"0.onnx", "2.onnx"} and not left_behind.exists()
    Cache(str(folder), 0).put("0" * 32, {}, lambda path: Path(path).write_bytes(b"larger"))
    assert not cache.entries()


def test_cache_is_cleared_while_a_model_uses_it(file, folder):
    fastcnn.load(file, cache=folder)
    again = fastcnn.load(file, cache=folder)
    cache_of(folder).clear()
    assert is_kept(again) and not list(folder.iterdir())
    again.run(None, {"x": X})


def test_cache_with_sessions(file, folder, monkeypatch):
    options = fastcnn.SessionOptions()
    options.add_session_config_entry("fastcnn.cache", str(folder))
    first, again = (fastcnn.InferenceSession(file, options) for _ in range(2))
    assert is_kept(again) and np.array_equal(first.run(None, {"x": X})[0], again.run(None, {"x": X})[0])
    assert again.run(["a"], {"x": X})[0].shape == (1, 8, 16, 16)


def test_cache_saved_again_holds_the_onnx_file(file, folder, tmp_path):
    fastcnn.load(file, cache=folder)
    fastcnn.load(file, cache=folder).save(tmp_path / "out.fcnn", source=True)
    assert sources.opened(tmp_path / "out.fcnn") is not None


PROCESS = """
import sys, numpy as np, fastcnn
x = np.load(sys.argv[3])
for k in range(6):
    model = fastcnn.load(sys.argv[1], cache=sys.argv[2], threads=1)
    np.save(sys.stdout.buffer, model.run(None, {"x": x})[0])
"""


def test_cache_of_several_processes_at_once(file, folder, tmp_path):
    """Writers and readers of one entry, while another process clears the folder: all answer alike."""
    np.save(tmp_path / "x.npy", X)
    command = [sys.executable, "-c", PROCESS, str(file), str(folder), str(tmp_path / "x.npy")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    while any(process.poll() is None for process in running):
        cache_of(folder).clear()
        time.sleep(0.01)
    wanted, = fastcnn.load(file, threads=1).run(None, {"x": X})
    for process in running:
        out, err = process.communicate()
        assert process.returncode == 0, err.decode()
        stream = io.BytesIO(out)
        for _ in range(6):
            assert np.array_equal(np.load(stream), wanted)
    assert not [name for name in os.listdir(folder) if not name.endswith((".fcnn", ".json"))]


def test_cache_command_lists_and_clears(file, folder, capsys):
    import fastcnn_cli
    fastcnn.load(file, cache=folder)
    assert fastcnn_cli.main(["cache", "--folder", str(folder), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["models"] for entry in listed["entries"]] == [[str(file)]] and listed["entries"][0]["size"] > 0
    assert fastcnn_cli.main(["cache", "--folder", str(folder)]) == 0
    assert file.name in capsys.readouterr().out
    assert fastcnn_cli.main(["cache", "--folder", str(folder), "--clear"]) == 0
    assert "0.0 of at most" in capsys.readouterr().out and not entries(folder)
