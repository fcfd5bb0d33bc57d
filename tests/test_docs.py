"""The site builds without a warning, its commands run, and docstrings become lists as they should."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
NEEDED = ("sphinx", "myst_parser", "furo", "click", "rich", "PIL", "matplotlib", "onnxruntime")
MISSING = [name for name in NEEDED if find_spec(name) is None]


def extension(name: str) -> ModuleType:
    """A module of docs/extensions."""
    spec = spec_from_file_location(name, ROOT / "docs" / "extensions" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(bool(MISSING), reason=f"the site needs {', '.join(MISSING)}: pip install 'fastcnn[docs]'")
def test_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html", "-d", str(tmp_path / "trees"), "docs",
               str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "Agg"}, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    tour = (tmp_path / "site" / "tour.html").read_text()
    assert "Conv + BatchNormalization + Relu" in tour and "images/s" in tour and tour.count("<img") >= 7
    assert re.search(r"digits/00-6\.png +1 +6 ", tour), "the first picture, a 6, is taken for one"
    assert "max_memory" in (tmp_path / "site" / "api" / "model.html").read_text()
    pictures = (tmp_path / "site" / "benchmarks" / "pictures.html").read_text()
    assert len(re.findall(r'<img [^>]*results-\d+\.png', pictures)) >= 4
    assert (tmp_path / "site" / "benchmarks" / "notes" / "winograd.html").exists()


def test_docstrings_become_lists():
    convert = extension("plain_docstrings").converted
    text = """First line with a *star* and `code`.

    name       what it is,
               on two lines
    other_one  a second          third  beside it
    maximal_on one space only

Returns all of it. Raises InputError."""
    lines = text.replace("\n    ", "\n").splitlines()
    assert convert(lines) == [
        r"First line with a \*star\* and ``code``.", "", "",
        "name", "    what it is,", "    on two lines", r"other\_one", "    a second", "third", "    beside it",
        r"maximal\_on", "    one space only", "",
        "Returns all of it. Raises InputError.", "", ""]
    assert convert(["Text.", "", "    import this"]) == ["Text.", "", "", "::", "", "    import this", ""]


def test_tables_of_results_are_read_with_their_ratios():
    pytest.importorskip("matplotlib")
    text = (ROOT / "bench" / "RESULTS.md").read_text()
    found = list(extension("measured").tables(text))
    assert {threads for _, threads, _ in found} == {"one thread", "two threads"}
    rows = next(rows for title, threads, rows in found if title.startswith("AMD EPYC, Zen 5") and threads == "one thread")
    alexnet = next(row for row in rows if row["network"] == "alexnet")["engines"]
    assert list(alexnet) == ["fastcnn", "onnxruntime", "openvino", "ncnn"]
    ours, theirs = re.search(r"## AMD EPYC, Zen 5.*?\n\| alexnet \| (\S+) \| (\S+) \|", text, re.DOTALL).groups()
    assert alexnet["onnxruntime"]["ratio"] == pytest.approx(float(theirs) / float(ours))
