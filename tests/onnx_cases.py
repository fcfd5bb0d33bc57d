"""onnx's own node tests as its loader gives them; before onnx 1.20 it gives some as folders, which are read here."""
from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests


@cache
def node_cases() -> tuple[Any, ...]:
    """Cases with model and data_sets."""
    return tuple(case if case.model is not None else _from_folder(case) for case in load_model_tests(kind="node"))


def _from_folder(case: Any) -> Any:
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    sets = [tuple([_value(path, info) for path, info in zip(_numbered(data, stem), infos)]
                  for stem, infos in (("input", model.graph.input), ("output", model.graph.output)))
            for data in sorted(folder.glob("test_data_set_*"))]
    return replace(case, model=model, data_sets=sets)


def _numbered(folder: Path, stem: str) -> list[Path]:
    return sorted(folder.glob(f"{stem}_*.pb"), key=lambda path: int(path.stem.partition("_")[2]))


def _value(path: Path, info: onnx.ValueInfoProto) -> Any:
    """A tensor, a sequence or an optional, as the graph declares it."""
    kind, data = info.type.WhichOneof("value"), path.read_bytes()
    if kind == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if kind == "optional_type":
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))
