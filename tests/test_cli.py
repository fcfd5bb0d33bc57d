"""The command `fastcnn` from its entry point: what it prints, its exit codes, what it imports."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from browser import looked_at, needs_browser
from cli_helper import DIGITS, QUICK, ROOT, SUPERRES, run

import fastcnn
import fastcnn_cli

pytest.importorskip("click", reason="the command line needs click: pip install 'fastcnn[cli]'")
pytest.importorskip("rich", reason="the command line needs rich: pip install 'fastcnn[cli]'")


@pytest.mark.parametrize("name", list(fastcnn_cli.COMMANDS))
def test_cli_every_command_has_help(capsys, name):
    code, out, err = run(capsys, name, "--help")
    assert code == 0 and not err and f"Usage: fastcnn {name}" in out


def test_cli_help_imports_neither_the_package_nor_numpy():
    """It takes 100 ms at most so."""
    program = ("import sys, fastcnn_cli; code = fastcnn_cli.main(['--help']);"
               "sys.exit(code or any(name in sys.modules for name in ('fastcnn', 'numpy', 'onnx', 'rich.table')))")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in fastcnn_cli.COMMANDS)


@pytest.mark.parametrize("arguments, words", [
    (["nonsense"], "No such command 'nonsense'"),
    (["summary"], "Missing argument 'MODEL'"),
    (["summary", "missing.onnx"], "'missing.onnx' cannot be read"),
    (["summary", DIGITS, "--shape", "1x9"], "input 'image': shape [1, 9] does not fit"),
    (["summary", DIGITS, "--shape", "axb"], "--shape axb: expected numbers such as 1x3x224x224"),
    (["summary", DIGITS, "--threads", "0"], "Invalid value for '--threads'"),
])
def test_cli_errors_are_one_sentence_and_exit_code_2(capsys, arguments, words):
    code, out, err = run(capsys, *arguments)
    assert code == 2 and not out
    assert err.startswith("fastcnn: ") and err.count("\n") == 1 and words in err


def test_cli_without_its_libraries_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "click", None)
    assert run(capsys, "--help") == (2, "", f"fastcnn: {fastcnn_cli.EXTRA}\n")


def test_cli_as_a_module():
    done = subprocess.run([sys.executable, "-m", "fastcnn", "--version"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("fastcnn ")


def test_cli_summary(capsys):
    code, out, _ = run(capsys, "summary", DIGITS, "--object", "40")
    assert code == 0 and "Conv + BatchNormalization + Relu" in out and "parameters 67,754" in out


def test_cli_summary_json(capsys):
    code, out, _ = run(capsys, "summary", DIGITS, "--shape", "image=3x1x8x8", "--json")
    found = json.loads(out)
    assert code == 0 and found["inputs"] == {"image": [3, 1, 8, 8]} and found["layers"][0]["shape"] == [3, 32, 8, 8]


def test_cli_profile_writes_table_trace_page_and_picture(capsys, tmp_path):
    files = [tmp_path / name for name in ("t.json", "p.html", "r.svg")]
    code, out, _ = run(capsys, "profile", DIGITS, "--runs", "3", "--sort", "--trace", str(files[0]), "--html", str(files[1]),
                       "--roofline", str(files[2]))
    assert code == 0 and "conv3" in out and "perfect kernels would take" in out
    assert json.loads(files[0].read_text())["traceEvents"]
    assert "<table>" in files[1].read_text() and files[2].read_text().startswith("<svg")


def test_cli_profile_json(capsys):
    code, out, _ = run(capsys, "profile", DIGITS, "--runs", "3", "--threads", "1", "--json")
    assert code == 0 and {timing["name"] for timing in json.loads(out)["timings"]} >= {"conv0", "fc"}


def test_cli_output_that_cannot_be_written_is_an_error(capsys):
    code, _, err = run(capsys, "profile", DIGITS, "--runs", "3", "--trace", "/nowhere/t.json")
    assert code == 2 and "/nowhere/t.json" in err


# ---- run ----


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A folder of five digits as pictures, and their classes as a file of labels."""
    image, data = pytest.importorskip("PIL.Image"), pytest.importorskip("sklearn.datasets").load_digits()
    for k in range(5):
        image.fromarray((data.images[k] * 255 / 16).astype("uint8")).save(tmp_path / f"{data.target[k]}.png")
    (tmp_path / "labels.txt").write_text("\n".join(f"digit {k}" for k in range(10)))
    return tmp_path


def test_cli_run_classifies_a_folder_in_batches(capsys, digits):
    code, out, _ = run(capsys, "run", DIGITS, str(digits), "--batch", "2", "--top", "2", "--labels", str(digits / "labels.txt"), "--json")
    found = json.loads(out)
    assert code == 0 and found["preprocess"]["size"] == [8, 8]
    assert [(Path(r["source"]).stem, r["top"][0]["label"]) for r in found["results"]] == [(str(k), f"digit {k}") for k in range(5)]
    assert all(len(r["top"]) == 2 and r["top"][0]["probability"] > 0.5 for r in found["results"])


def test_cli_run_prints_classes(capsys, digits):
    code, out, err = run(capsys, "run", DIGITS, str(digits / "3.png"), str(digits / "[01].png"))
    assert code == 0 and not err and "images: size=(8, 8)" in out and out.count("3.png") == 1 and out.count("0.png") == 1


def test_cli_run_arrays_in_arrays_out(capsys, tmp_path):
    x = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", image=x)
    (tmp_path / "x.pb").write_bytes(onnx.numpy_helper.from_array(x).SerializeToString())
    with fastcnn.load(DIGITS, threads=1) as net:
        wanted = net(x)
    for arguments in (["x.npy"], ["x.npz"], ["x.pb"]):
        code, _, err = run(capsys, "run", DIGITS, str(tmp_path / arguments[0]), "--threads", "1", "--output", str(tmp_path / "y.npz"))
        assert code == 0, err
        np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["probabilities"], wanted)
    code, out, _ = run(capsys, "run", DIGITS, "--input", f"image={tmp_path / 'x.npy'}", "--json")
    assert code == 0 and len(json.loads(out)["results"]) == 3
    assert run(capsys, "run", DIGITS, "--random")[0] == 0


def test_cli_run_writes_a_picture(capsys, tmp_path, digits):
    image = pytest.importorskip("PIL.Image")
    code, _, err = run(capsys, "run", SUPERRES, str(digits / "3.png"), "--size", "8x8", "--output", str(tmp_path / "one" / "large.png"))
    assert code == 2 and "large.png" in err, "the folder is not there"
    code, _, err = run(capsys, "run", SUPERRES, str(digits), "--size", "8x8", "--batch", "2", "--output", str(tmp_path / "out"))
    assert code == 0, err
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [f"{k}.png" for k in range(5)]
    code, _, err = run(capsys, "run", SUPERRES, str(digits / "3.png"), "--size", "8x8", "--output", str(tmp_path / "out" / "3.png"))
    assert code == 0 and image.open(tmp_path / "out" / "3.png").size == (16, 16)


@pytest.mark.parametrize("arguments, words", [
    ([], "nothing to run on"),
    (["missing.png"], "'missing.png': no such file"),
    (["--input", "z=x.npy"], "--input z=x.npy: expected NAME=FILE with a name of image"),
    (["pyproject.toml"], "is no image that Pillow knows"),
    (["--random", "--output", "y.png"], "no output of the model is a picture"),
    (["models/trained/digits.npz"], "none of them called 'image'"),
])
def test_cli_run_errors(capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(ROOT)
    code, _, err = run(capsys, "run", DIGITS, *arguments)
    assert code == 2 and err.count("\n") == 1 and words in err


# ---- compare, doctor, knobs ----


def test_cli_compare_agrees_and_exits_with_1_beyond_the_tolerance(capsys):
    code, out, _ = run(capsys, "compare", DIGITS, "--against", "onnxruntime")
    assert code == 0 and "all within 0.0001" in out
    code, out, _ = run(capsys, "compare", DIGITS, "--tolerance", "0", "--json")
    assert code == 1 and json.loads(out)["first"]
    assert run(capsys, "compare", DIGITS, "--against", "strict", "--all")[0] == 0
    code, _, err = run(capsys, "compare", DIGITS, "--against", "nothing.onnx")
    assert code == 2 and "cannot be read" in err


def test_cli_doctor_tests_every_instruction_set(capsys):
    before = fastcnn._native.current_isa()
    code, out, _ = run(capsys, "doctor", "--no-measure", "--json")
    found = json.loads(out)
    assert code == 0 and found["ok"] and fastcnn._native.current_isa() == before
    assert {line["instruction_set"] for line in found["kernels"]} == set(fastcnn._native.levels())
    assert found["threads"]["default"] >= 1 and found["threads"]["why"]
    assert [line["instruction_set"] for line in found["steps"]] == list(fastcnn._native.levels())
    assert "-O" in found["build"]["flags"] and found["build"]["compiler"]
    code, out, _ = run(capsys, "doctor", "--no-measure", "--no-check")
    assert code == 0 and "physical cores" in out


def test_cli_doctor_exits_with_1_where_a_kernel_is_wrong(capsys, monkeypatch):
    from fastcnn.selftest import check
    monkeypatch.setattr(check, "TOLERANCE", -1.0)
    code, out, _ = run(capsys, "doctor", "--no-measure")
    assert code == 1 and "warning: Conv 1x1 at" in out


def test_cli_quantize_writes_a_file_that_runs(capsys, tmp_path, digits):
    out = tmp_path / "q.onnx"
    code, text, err = run(capsys, "quantize", DIGITS, "-o", str(out), "--data", str(digits), "--threads", "1", "--all-layers",
                          "--keep", "node_conv2d")
    assert code == 2 and "no node 'node_conv2d'" in err and not out.exists()
    glob = [str(digits), str(digits)]
    code, text, err = run(capsys, "quantize", DIGITS, "-o", str(out), "--data", *glob, "--threads", "1", "--all-layers")
    assert code == 0 and not err and "5 of 5 layers in int8" in text and f"{out}: written" in text
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in onnx.load(out).graph.node}
    code, text, _ = run(capsys, "run", str(out), str(digits))
    assert code == 0 and "%" in text


def test_cli_quantize_cuts_arrays_into_batches_and_gives_json(capsys, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((7, 1, 8, 8), np.float32))
    code, text, _ = run(capsys, "quantize", DIGITS, "-o", str(tmp_path / "q.onnx"), "--data", str(tmp_path / "x.npy"),
                        "--samples", "5", "--json", "--method", "minmax", "--activations", "int8", "--per-tensor",
                        "--no-bias-correction", "--no-equalization")
    told = json.loads(text)
    assert code == 0 and told["samples"] == 5 and len(told["layers"]) == 5 and told["preprocess"] is None


def test_cli_knobs_are_all_that_the_sources_read(capsys):
    code, out, _ = run(capsys, "knobs", "--json")
    names = {knob["name"] for knob in json.loads(out)}
    files = [*(ROOT / "fastcnn").rglob("*.py"), ROOT / "setup.py"]
    read = {name for file in files for name in re.findall(r"environ(?:\.get)?[\[(]\"(FASTCNN_\w+)\"", file.read_text())}
    assert code == 0 and names == read
    assert names == set(re.findall(r"^\| `(FASTCNN_\w+?)(?:=\d)?` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert run(capsys, "knobs")[0] == 0


# ---- graph ----


def test_cli_graph_writes_every_kind(capsys, tmp_path):
    for kind in ("svg", "html", "json", "onnx"):
        code, out, err = run(capsys, "graph", DIGITS, str(tmp_path / f"g.{kind}"), *(["--profile"] if kind == "svg" else []))
        assert code == 0 and "as it runs" in out, err
    assert (tmp_path / "g.svg").read_text().count("<rect") == 1 + 9 and " ms" in (tmp_path / "g.svg").read_text()
    graphs = json.loads((tmp_path / "g.json").read_text())["graphs"]
    assert [len(graph["nodes"]) for graph in graphs] == [9, len(onnx.load(DIGITS).graph.node)]
    ids = {n["id"] for n in graphs[0]["nodes"]}
    assert {edge["sourceNodeId"] for n in graphs[0]["nodes"] for edge in n["incomingEdges"]} <= ids
    noted = onnx.load(str(tmp_path / "g.onnx"))
    notes = {n.op_type: n.doc_string for n in noted.graph.node}
    assert "Conv + BatchNormalization + Relu: " in notes["Conv"] and notes["Relu"].startswith("fastcnn: step")
    assert run(capsys, "graph", DIGITS, "g.pdf")[0] == 2


@needs_browser
def test_cli_graph_page_in_a_browser(capsys, tmp_path):
    assert run(capsys, "graph", DIGITS, str(tmp_path / "g.html"))[0] == 0
    seen = looked_at(tmp_path / "g.html", "document.querySelector('summary').click();seen.boxes=document.querySelectorAll('rect').length;"
                     "seen.open=document.querySelector('details').open;")
    assert seen["errors"] == [] and seen["open"] and seen["boxes"] > 9 + 9


# ---- kernels ----


@pytest.mark.parametrize("shape, macs", [("64,24,40", 64 * 24 * 40), ("14x15x8-24,3x3,p1", 14 * 15 * 8 * 24 * 9),
                                         ("2x14x14x8-8,3x3,s2,p1,g8", 2 * 7 * 7 * 8 * 9)])
def test_cli_kernels_times_all_candidates_and_marks_the_pick(capsys, shape, macs):
    from fastcnn.analysis.kernels import parsed
    from fastcnn.convolve.ladder import candidates
    from fastcnn.convolve.shape import Problem, own_places
    asked = parsed(shape)
    code, out, _ = run(capsys, "kernels", shape, "--rounds", "1", "--json")
    found = json.loads(out)["kernels"]
    assert code == 0 and asked.macs == macs and sum(kernel["picked"] for kernel in found) == 1
    assert {kernel["name"] for kernel in found} == set(candidates(Problem(asked, own_places(asked), 1)))
    assert [kernel["ms"] for kernel in found] == sorted(kernel["ms"] for kernel in found)


def test_cli_kernels_as_table_and_list(capsys):
    code, out, _ = run(capsys, "kernels", "64,24,40", "--rounds", "1")
    assert code == 0 and out.count("<--") == 1
    code, out, _ = run(capsys, "kernels", "--json")
    assert code == 0 and set(json.loads(out)) == set(fastcnn._native.isas())


@pytest.mark.parametrize("shape", ["64", "3x3", "8x8x3-6,9x9", "8x8x3-4,3x3,g2", "8x8x3-4,3x3,s0"])
def test_cli_kernels_refuses_shapes_without_sense(capsys, shape):
    code, _, err = run(capsys, "kernels", shape)
    assert code == 2 and err.count("\n") == 1


def test_cli_long_names_lose_their_middle_in_tables_alone(capsys, tmp_path):
    name = "tower/" + "block_of_many_layers/" * 5 + "conv"
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], name)
    infos = [onnx.helper.make_tensor_value_info("x", 1, [1, 3, 8, 8]), onnx.helper.make_tensor_value_info("y", 1, None)]
    w = onnx.numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    graph = onnx.helper.make_graph([node], "g", infos[:1], infos[1:], [w])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), str(tmp_path / "model.onnx"))
    code, out, _ = run(capsys, "summary", str(tmp_path / "model.onnx"))
    row = next(line for line in out.splitlines() if "1x4x6x6" in line)
    assert code == 0 and row.split()[0].startswith("tower/") and row.split()[0].endswith("/conv") and len(row.split()[0]) == 47
    assert json.loads(run(capsys, "summary", str(tmp_path / "model.onnx"), "--json")[1])["layers"][0]["name"] == name
    code, out, _ = run(capsys, "bench", str(tmp_path / "model.onnx"), "--against", "none", "--json", *QUICK)
    assert code == 0 and json.loads(out)["results"][0]["network"] == tmp_path.name, "model.onnx is called like its folder"


# ---- completion ----


@pytest.mark.parametrize("shell, line", [("bash", "plain,summary"), ("zsh", "plain\nsummary"), ("fish", "plain,summary")])
def test_cli_completes_subcommands_and_options_in_every_shell(shell, line):
    """As the shell asks: the words typed so far, and which of them the cursor is in."""
    def asked(words: str, word: str, number: str) -> str:
        environment = {**os.environ, "_FASTCNN_COMPLETE": f"{shell}_complete", "COMP_WORDS": words,
                       "COMP_CWORD": word if shell == "fish" else number}
        return subprocess.run([sys.executable, "-c", "import sys, fastcnn_cli; sys.exit(fastcnn_cli.main())"], cwd=ROOT, env=environment,
                              capture_output=True, text=True, check=True).stdout

    assert line in asked("fastcnn sum", "sum", "1")
    assert "--roofline" in asked("fastcnn profile --ro", "--ro", "2")


def test_cli_completion_scripts_are_what_readme_says():
    text = (ROOT / "README.md").read_text()
    assert "_FASTCNN_COMPLETE=bash_source fastcnn" in text
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run([sys.executable, "-c", "import sys, fastcnn_cli; sys.exit(fastcnn_cli.main())"], cwd=ROOT, text=True,
                              env={**os.environ, "_FASTCNN_COMPLETE": f"{shell}_source"}, capture_output=True, check=False)
        assert f"_FASTCNN_COMPLETE={shell}_complete" in done.stdout, done.stderr
