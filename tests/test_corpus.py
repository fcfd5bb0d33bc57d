"""Every published model of ../shared/corpus against its reference files, and which nodes have no native kernel."""
from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import fastcnn

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
INDEX = {entry["name"]: entry
         for entry in json.loads((CORPUS / "index.json").read_text())} if (CORPUS / "index.json").exists() else {}

# Operators that run in the fallback, per model; none everywhere else.
FALLBACKS: dict[str, set[str]] = {}
# No sensible comparison: random noise in, a map of text regions out whose values all sit at the threshold.
NOT_COMPARED = {("ppocr_v3_det", "rand")}

pytestmark = pytest.mark.skipif(not INDEX, reason=f"no corpus in {CORPUS}")


def tolerance(entry: dict, case: str, expected: np.ndarray) -> float:
    """Largest difference that counts as equal, by the corpus's README."""
    relative = 8e-2 if entry["quantized"] else 5e-3 if half(entry) else 1e-3
    floor = entry["noise_floor"].get(case, {}).get("max_abs") or 0.0
    return max(relative * float(np.abs(expected).max(initial=0.0)), 10 * floor)


def half(entry: dict) -> bool:
    return any("float16" in value["dtype"] for value in entry["inputs"] + entry["outputs"]) or "fp16" in entry["name"]


def cases(name: str) -> list[tuple[str, list[np.ndarray], list[np.ndarray]]]:
    """(case, inputs, expected outputs), of the reference runs and of what was published with the model."""
    folder, found = CORPUS / name, []
    for path in sorted((folder / "reference").glob("*.npz")):
        arrays = np.load(path)
        found.append((path.stem, in_order(arrays, "in"), in_order(arrays, "out")))
    for path in sorted(folder.glob("test_data_set_*")):
        found.append((path.name,
                      *([proto(f) for f in sorted(path.glob(f"{kind}_*.pb"))] for kind in ("input", "output"))))
    if (folder / "inputs.npz").exists():
        found.append(("published", *(list(np.load(folder / f"{kind}.npz").values()) for kind in ("inputs", "outputs"))))
    return found


def in_order(arrays: np.lib.npyio.NpzFile, prefix: str) -> list[np.ndarray]:
    return [arrays[f"{prefix}{k}"] for k in range(sum(name.startswith(prefix) for name in arrays.files))]


def proto(path: Path) -> np.ndarray:
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


@pytest.fixture(scope="module", params=[(name, threads) for name in INDEX for threads in (1, 2)],
                ids=lambda p: f"{p[0]}-threads{p[1]}")
def loaded(request):
    """(name, model); its fallbacks are known after a run."""
    name, threads = request.param
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with fastcnn.load(CORPUS / name / "model.onnx", threads=threads) as model:
            yield name, model


@pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
def test_corpus_agrees_with_the_reference(loaded):
    name, model = loaded
    compared = 0
    for case, inputs, outputs in cases(name):
        if (name, case) in NOT_COMPARED:
            continue
        names = [value.name for value in model.get_inputs()]
        feeds = {n: shaped(array, value.shape) for n, array, value in zip(names, inputs, model.get_inputs())}
        results = model.run(None, feeds)
        assert len(results) == len(outputs)
        for value, y, expected in zip(model.get_outputs(), results, outputs):
            expected = expected.reshape(y.shape) if case == "published" else expected
            assert y.shape == expected.shape and y.dtype == expected.dtype, (case, value.name)
            allowed = tolerance(INDEX[name], case, expected)
            error = float(np.abs(y.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0))
            assert error <= allowed, f"{case}, {value.name}: off by {error:.3g}, allowed {allowed:.3g}"
        compared += 1
    assert compared
    assert fallback_operators(model) == FALLBACKS.get(name, set())


def shaped(array: np.ndarray, shape: tuple) -> np.ndarray:
    """Published inputs may lack the axes of extent one."""
    fixed = all(isinstance(d, int) for d in shape)
    return array.reshape(shape) if fixed and array.ndim != len(shape) and array.size == np.prod(shape) else array


def fallback_operators(model: fastcnn.Model) -> set[str]:
    """Operator types among the nodes that ran without a native kernel."""
    return {node.op_type for engine in model._engines.values() for node in engine.fallbacks.values()}


def test_corpus_fallback_table_has_no_stale_row():
    assert set(FALLBACKS) <= set(INDEX)
