"""A bounded run of what `make fuzz` does for long: mutants of valid models, attributes at their edges, inputs of every element type."""
from __future__ import annotations

from collections import Counter

import pytest
from fuzz import run, sweep

MUTANTS, SWEPT = 2000, 60           # every 60th case of the sweep
# Mutants that once crashed, hung or raised what is not ours, and with what.
FOUND = {
    1435: "ConstantOfShape of a matrix of sizes", 9405: "Col2Im with a block of 0",
    2702: "TfIdfVectorizer: ngram_counts beyond the pool, copied one by one", 23669: "TfIdfVectorizer: max_skip_count of 2^31",
    5477: "abort in onnx's shape inference: Split", 7668: "abort in onnx's shape inference: AffineGrid",
    36511: "GatherElements of onnx.reference: minutes", 1068563: "ReduceSum walks 2^40 empty rows"}


def test_mutants_of_valid_models_load_and_run_or_are_refused():
    outcomes: Counter[str] = Counter()
    assert list(run.findings(MUTANTS, outcomes=outcomes)) == []
    assert outcomes["ran"] > MUTANTS / 10 and outcomes["ModelError"] > MUTANTS / 10          # they are neither all valid nor all broken


def test_mutants_of_compiled_files_load_and_run_or_are_refused():
    outcomes: Counter[str] = Counter()
    assert list(run.findings(MUTANTS // 4, run.COMPILED, outcomes=outcomes)) == []
    assert outcomes["ran"] > MUTANTS / 40 and outcomes["FormatError"] > MUTANTS / 40


@pytest.mark.parametrize("index", FOUND)
def test_mutants_that_were_found_once(index):
    assert list(run.findings(1, index)) == []


def test_attributes_at_their_edges_and_inputs_of_every_type():
    """Nothing crashes, nothing is taken for another type: an error, or onnxruntime's answer."""
    numbers = range(7, len(sweep.cases()), SWEPT)
    outcomes = [(case.label, outcome) for case, outcome in sweep.outcomes(numbers)]
    assert len(outcomes) == len(numbers)
    assert [pair for pair in outcomes if pair[1].startswith(("crash", "unforeseen", "different"))] == []
