"""evaluate() and infer_outputs() against onnxruntime, operator by operator, where onnx.reference is wrong or absent."""
from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_helper import onnxruntime_run
from reference_cases import CASES, MICROSOFT, Case, arrays, as_model, as_node, names_of

from fastcnn.ir.graph import Node
from fastcnn.ir.spec import Args, Spec
from fastcnn.onnx_proto.attributes import Kind
from fastcnn.reference import evaluate, infer_outputs
from fastcnn.reference.contrib import CONTRIB
from fastcnn.reference.evaluate import KNOWN
from fastcnn.reference.evaluator import evaluator_of
from fastcnn.reference.overrides import OVERRIDES, REWRITES
from fastcnn.schema.form import signature
from fastcnn.schema.signatures import NEWEST_OPSET


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operator_gives_onnxruntimes_numbers(case: Case) -> None:
    inputs, _ = names_of(case)
    want = onnxruntime_run(as_model(case), {n: np.asarray(x) for n, x in zip(inputs, case.inputs) if n})
    got = evaluate(as_node(case), arrays(case), {}, {"": case.opset})
    assert len(got) == case.outputs
    for y, reference_y in zip(got, want):
        assert (y.dtype, y.shape) == (reference_y.dtype, reference_y.shape)
        scale = np.abs(reference_y.astype(np.float64)).max() if reference_y.size else 0.0
        np.testing.assert_allclose(
            y.astype(np.float64), reference_y.astype(np.float64), rtol=0, atol=case.tolerance * max(scale, 1e-6)
        )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inferred_types_are_those_of_the_values(case: Case) -> None:
    values = arrays(case)
    specs = tuple(None if x is None else Spec(x.dtype, x.shape) for x in values)
    found = infer_outputs(Args(as_node(case), specs, tuple(x if x is not None and x.size < 65 else None for x in values)))
    if case.infers:
        assert found == [Spec(y.dtype, y.shape) for y in evaluate(as_node(case), values, {}, {"": case.opset})]
    else:
        assert found == [None] * case.outputs


@pytest.mark.parametrize("op_type", sorted(KNOWN))
def test_onnx_computes_what_is_known_to_be_computed(op_type: str) -> None:
    """As of every opset, with no attribute and with all that there are."""
    for version in range(10, min(NEWEST_OPSET, onnx.defs.onnx_opset_version()) + 1):
        found = signature(op_type, version, "")
        values = {Kind.INT: 1, Kind.INTS: [1, 1], Kind.STRING: "VALID"}
        for attrs in ({}, {name: values[kind] for name, (kind, _) in found.attributes.items()} if found else {}):
            evaluator_of(Node(op_type, tuple("abcdefgh"[:found.min_inputs if found else 1]), ("y",), attrs, version=version), {"": version})


def test_every_override_has_a_case() -> None:
    assert set(OVERRIDES) | set(REWRITES) <= {c.op for c in CASES if not c.domain}
    assert {op for domain, op in CONTRIB if domain == MICROSOFT} <= {"DynamicQuantizeLSTM", *(c.op for c in CASES if c.domain)}
