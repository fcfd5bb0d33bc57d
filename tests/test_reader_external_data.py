"""External data: read from the model's folder and nowhere else."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_helper import floats, model, node
from onnx import TensorProto
from onnx.external_data_helper import convert_model_to_external_data

from fastcnn.ir.errors import ModelError
from fastcnn.reader import read

W = floats(6, 4, 3, 3)


def saved(folder: Path, location: str = "weights.bin", one_file: bool = True) -> Path:
    proto = model([node("Conv", ["x", "w", "b"], ["y"])], {"x": [1, 4, 8, 8]}, ["y"], {"w": W, "b": floats(6)})
    convert_model_to_external_data(proto, all_tensors_to_one_file=one_file, location=location, size_threshold=0)
    onnx.save(proto, folder / "model.onnx")
    return folder / "model.onnx"


def moved(path: Path, **entries: str) -> Path:
    """The model with entries of w's external data changed."""
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        if tensor.name == "w":
            values = {e.key: e.value for e in tensor.external_data} | entries
            del tensor.external_data[:]
            for key, value in values.items():
                tensor.external_data.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("one_file", [True, False])
def test_external_data_is_read(tmp_path: Path, one_file: bool) -> None:
    graph = read(saved(tmp_path, one_file=one_file))
    np.testing.assert_array_equal(graph.constants["w"], W)
    np.testing.assert_array_equal(graph.constants["b"], floats(6))


def test_external_data_relative_to_the_model_not_to_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    saved(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read("models/model.onnx").constants["w"], W)


def test_external_data_in_a_folder_below(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "sub" / "weights.bin")
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        next(e for e in tensor.external_data if e.key == "location").value = "sub/weights.bin"
    path.write_bytes(proto.SerializeToString())
    np.testing.assert_array_equal(read(path).constants["w"], W)


def test_proto_with_its_data_loaded(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(onnx.load(saved(tmp_path))).constants["w"], W)


def test_bytes_and_proto_without_a_folder_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for source in (path.read_bytes(), onnx.load(path, load_external_data=False)):
        with pytest.raises(ModelError, match=r"initializer 'w': .*'weights.bin'.* not loaded from a path"):
            read(source)


@pytest.mark.parametrize(
    "location, part",
    [
        ("../weights.bin", "out of"),
        ("sub/../../weights.bin", "out of"),
        ("..\\weights.bin", "out of"),
        ("/etc/passwd", "absolute"),
        ("C:\\weights.bin", "absolute"),
        ("\\\\host\\share", "absolute"),
        ("", "out of"),
        ("a\0b", "out of"),
        ("none.bin", "not found"),
        (".", "not found"),
    ],
)
def test_location_outside_of_the_folder_is_refused(tmp_path: Path, location: str, part: str) -> None:
    (tmp_path / "in").mkdir()
    path = saved(tmp_path / "in")
    (tmp_path / "weights.bin").write_bytes((tmp_path / "in" / "weights.bin").read_bytes())
    with pytest.raises(ModelError, match=f"initializer 'w'.*{part}"):
        read(moved(path, location=location))


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links")
def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = saved(tmp_path / "in")
    (tmp_path / "in" / "weights.bin").rename(tmp_path / "weights.bin")
    (tmp_path / "in" / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match=r"initializer '[wb]'.*link out of"):
        read(path)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links")
def test_linked_model_beside_its_linked_data(tmp_path: Path) -> None:
    """As download caches keep them: both names are links into one folder of blobs."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "names").mkdir()
    saved(tmp_path / "blobs")
    for name in ("model.onnx", "weights.bin"):
        (tmp_path / "names" / name).symlink_to(tmp_path / "blobs" / name)
    np.testing.assert_array_equal(read(tmp_path / "names" / "model.onnx").constants["w"], W)


@pytest.mark.parametrize(
    "entries",
    [{"offset": "99999"}, {"offset": "-4"}, {"offset": "x"}, {"offset": "9" * 30}, {"length": "12"}, {"length": "²"}],
    ids=str,
)
def test_offset_and_length_that_do_not_fit_are_refused(tmp_path: Path, entries: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="initializer 'w'"):
        read(moved(saved(tmp_path), **entries))


def test_strings_in_external_data_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    proto.graph.initializer[0].data_type = TensorProto.STRING
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="strings"):
        read(path)
