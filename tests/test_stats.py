"""Model.stats(): what is counted, and as OpenMetrics text; nothing is printed and nobody is called."""
from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import textwrap
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from processes import image, network

import fastcnn
from fastcnn import _native
from fastcnn.analysis.stats import EXPORTED, Latencies, openmetrics
from fastcnn.plan.workspaces import Workspaces

PACKAGE = Path(fastcnn.__file__).parent
# Files that print: programs for a terminal, and what onnxruntime's functions of the same names print.
PRINTING = {"machine/__main__.py", "compat/environment.py"}


@pytest.fixture
def loaded() -> fastcnn.Model:
    return fastcnn.load(network(), threads=1)


def test_runs_plans_and_memory_are_counted(loaded):
    assert loaded.stats().runs == 0 and loaded.stats().latencies.mean == 0
    for height in (20, 21, 20, 20):
        loaded(image(height))
    with pytest.raises(fastcnn.TimeLimitError):
        loaded.run(None, {"x": image(20)}, timeout=0)
    with pytest.raises(fastcnn.InputError):
        loaded.run(None, {})
    loaded.run(["t"], {"x": image(20)})
    stats = loaded.stats()
    assert (stats.runs, stats.failed, stats.under_way, stats.waiting) == (5, 1, 0, 0)
    assert (stats.plans, stats.plan_misses, stats.plan_hits, stats.plan_evictions) == (3, 3, 3, 0)
    assert stats.latencies.runs == 5
    assert stats.weight_bytes == sum(array.nbytes for array in loaded._packs.values()) > 0 < stats.workspace_bytes
    loaded.trim()
    trimmed = loaded.stats()
    assert (trimmed.runs, trimmed.failed, trimmed.plans, trimmed.workspace_bytes) == (5, 1, 0, 0)
    assert trimmed.latencies == stats.latencies
    assert json.loads(json.dumps(stats.to_dict()))["plan_hits"] == 3
    assert str(stats).startswith("5 runs, 1 failed")


def test_evicted_plans_are_counted(loaded):
    loaded._default.max_plans = 2
    for height in (20, 21, 22, 20):
        loaded(image(height))
    stats = loaded.stats()
    assert (stats.plans, stats.plan_misses, stats.plan_evictions) == (2, 4, 2)


def test_a_closed_model_has_stats(loaded):
    loaded(image(20))
    loaded.close()
    assert loaded.stats().plans == 0


def test_latencies_are_those_of_the_clock():
    """A workspace counts the time from take() to give(), in buckets that hold it, whose bounds are at most a quarter apart."""
    bounds = fastcnn.load(network()).stats().latencies.bounds
    assert all(1.1 < b / a <= 1.25 + 1e-9 for a, b in pairwise(bounds[4:])) and len(bounds) == _native.LATENCY_BUCKETS
    for seconds in (0, 0.001, 0.013):
        pool = Workspaces()
        outside = time.monotonic()
        workspace = pool.take()
        inside = time.monotonic()
        time.sleep(seconds)
        least = time.monotonic() - inside
        pool.give(workspace, True)
        most = time.monotonic() - outside
        counted = pool.counted()
        bucket, = np.flatnonzero(counted.latencies)
        assert bounds[bucket] >= least * 0.999 and (bounds[bucket - 1] if bucket else 0) <= most * 1.001
        assert least * 0.999 <= counted.seconds <= most * 1.001


@pytest.mark.parametrize("counts, share, want", [([0, 0, 0], 0.5, 0.0), ([1, 0, 0], 0.99, 1.0), ([1, 1, 0], 0.5, 1.0),
                                                ([1, 1, 0], 0.51, 2.0), ([0, 3, 1], 0.0, 2.0), ([0, 3, 1], 1.0, 4.0),
                                                ([0, 3, 1], 0.75, 2.0)])
def test_quantiles_are_bounds_of_buckets(counts, share, want):
    assert Latencies((1.0, 2.0, 4.0), tuple(counts), 1.0).quantile(share) == want


def test_quantiles_of_no_share_are_refused():
    with pytest.raises(ValueError, match="share=2"):
        Latencies((1.0,), (1,), 1.0).quantile(2)


def test_the_exported_histogram_loses_no_run_between_its_bounds(loaded):
    for _ in range(20):
        loaded(image(20))
    of = loaded.stats().latencies
    for bound, count in zip(EXPORTED, of.cumulative()):
        assert count == sum(c for b, c in zip(of.bounds, of.counts) if b <= bound * (1 + 1e-9))
        assert any(abs(b / bound - 1) < 1e-9 for b in of.bounds)
    assert of.cumulative()[-1] == of.runs == 20


def test_openmetrics_is_what_prometheus_reads(loaded):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    loaded(image(20))
    text = openmetrics({"a": loaded.stats(), 'b "\\\n': loaded.stats()})
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    runs = {sample.labels["model"]: sample.value for sample in families["fastcnn_runs"].samples}
    assert runs == {"a": 1.0, 'b "\\\n': 1.0}
    assert families["fastcnn_run_seconds"].type == "histogram"
    assert text.endswith("# EOF\n")


def test_openmetrics_of_one_model_has_no_label(loaded):
    text = loaded.stats().openmetrics()
    assert "fastcnn_runs_total 0\n" in text and 'le="+Inf"} 0\n' in text and "model=" not in text


# ---- a library keeps quiet ----


def test_nothing_prints_but_programs_for_a_terminal():
    printing = set()
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        if not name.startswith("cli/") and any(isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
                                               for node in ast.walk(ast.parse(path.read_text()))):
            printing.add(name)
    assert printing == PRINTING


def test_import_load_and_run_open_no_socket_start_no_program_and_say_nothing(tmp_path):
    """Python tells an audit hook of every socket and process; what C would open shows among the descriptors."""
    (tmp_path / "m.onnx").write_bytes(network())
    program = """
        import os, sys
        calls = []
        told = "socket", "subprocess", "urllib", "http", "ftplib", "webbrowser", "os.system", "os.exec", "os.posix_spawn", "os.fork"
        sys.addaudithook(lambda event, args: calls.append(event) if event in told or event.split(".")[0] in told else None)
        import fastcnn
        import numpy as np
        def sockets():
            links = []
            for name in os.listdir("/proc/self/fd"):
                try:
                    links.append(os.readlink(f"/proc/self/fd/{name}"))
                except OSError:
                    pass
            return [link for link in links if link.startswith("socket:")]
        before = sockets() if os.path.isdir("/proc/self/fd") else []
        model = fastcnn.load("m.onnx", threads=2)
        for height in (20, 21):
            model(np.ones((2, 16, height, 29), np.float32))
        with model.batcher() as batcher:
            batcher.run({"x": np.ones((1, 16, 20, 29), np.float32)})
        model.stats().openmetrics()
        assert not calls, calls
        assert (sockets() if os.path.isdir("/proc/self/fd") else []) == before"""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
