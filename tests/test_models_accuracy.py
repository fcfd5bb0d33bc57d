"""What lower precision costs the networks that ship: their own metric, and the rows of models/README.md."""
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="data of the trained networks is in scikit-learn's and scikit-image's wheels")
pytest.importorskip("skimage", reason="data of the trained networks is in scikit-learn's and scikit-image's wheels")
pytest.importorskip("PIL.Image", reason="photographs need Pillow")

from models import accuracy

# Of the metric: what bfloat16, 8 bits and a bound of 1e-2 may take away.
MOST = {"digits": (0.3, 0.5, 0.3), "superres": (0.02, 0.1, 0.05)}


@pytest.fixture(scope="module", params=list(MOST))
def task(request):
    return accuracy.SHIPPED[request.param]()


def test_low_precision_costs_little(task):
    exact = task.metric(accuracy.COLUMNS["float32"](task))
    for column, most in zip(("bf16", "int8", "auto"), MOST[task.name]):
        assert task.metric(accuracy.COLUMNS[column](task)) >= exact - most, column


def test_other_engines_have_the_metric_with_our_file_and_it_is_no_worse_than_with_their_own(task):
    ours, theirs = (task.metric(accuracy.COLUMNS[column](task)) for column in ("int8, run by onnxruntime", "onnxruntime's own int8"))
    assert ours == pytest.approx(task.metric(accuracy.COLUMNS["int8"](task)), abs=0.25)
    assert ours >= theirs - 0.25


def test_a_bound_holds_on_held_out_data(task):
    exact, auto = (accuracy.COLUMNS[column](task) for column in ("float32", "auto"))
    for feeds in task.held_out:
        for y, truth in zip(auto(feeds), exact(feeds)):
            assert np.abs(y - truth).max() <= accuracy.MAX_ERROR * np.abs(truth).max()


def test_filters_that_bytes_would_not_make_faster_stay_exact():
    task = accuracy.filters()
    assert task.metric(accuracy.COLUMNS["float32"](task)) == float("inf")
    assert task.metric(accuracy.COLUMNS["int8"](task)) > 25


def test_readme_has_a_row_for_every_network_and_a_column_for_every_way():
    text = accuracy.README.read_text()
    rows = text.partition(accuracy.BEGIN)[2].partition(accuracy.END)[0].splitlines()
    assert rows[0] == f"| network | {' | '.join(accuracy.COLUMNS)} |"
    assert [line.split("|")[1].strip() for line in rows[2:]] == [*accuracy.SHIPPED, *accuracy.PUBLISHED]
    assert all(cell.strip() for line in rows[2:] for cell in line.split("|")[1:-1])
