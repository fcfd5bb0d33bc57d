"""Operators of ai.onnx.ml beside onnxruntime: features, labels, linear models, trees, support vector machines, and ZipMap's maps."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from graph_helper import floats, node
from onnx import TensorProto, helper, numpy_helper

import fastcnn
from fastcnn.ir.errors import ExecutionError, FastCNNError, InputError, ShapeError
from fastcnn.reference.ml import ML

ML_DOMAIN, CPU = "ai.onnx.ml", ["CPUExecutionProvider"]
pytestmark = pytest.mark.filterwarnings("ignore:.*no native kernel:RuntimeWarning")
onnxruntime.set_default_logger_severity(4)

X, ROW = floats(7, 3), floats(3)
NAN = np.where(X > 0.5, np.nan, X).astype(np.float32)
WHOLE = np.arange(-3, 18).reshape(7, 3)
NAMES = np.array(["ant", "bee", "cat", "", "dodo"], object)
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
STRINGS = ["no", "yes"]
Arrays = Mapping[str, np.ndarray]


def ml_node(op: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "node", **attrs: Any) -> onnx.NodeProto:
    return node(op, inputs, outputs, name=name, domain=ML_DOMAIN, **attrs)


def ml_model(nodes: Sequence[onnx.NodeProto], inputs: Arrays, outputs: Sequence[str], version: int = 3,
             constants: Arrays | None = None) -> onnx.ModelProto:
    fed = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), ["N", *a.shape[1:]]) for name, a in inputs.items()]
    kept = [numpy_helper.from_array(a, name) for name, a in (constants or {}).items()]
    graph = helper.make_graph(nodes, "ml", fed, [helper.make_empty_tensor_value_info(name) for name in outputs], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid(ML_DOMAIN, version)], ir_version=8)


def same(ours: Any, theirs: Any) -> None:
    """Values, types of arrays, keys and elements of maps."""
    assert type(ours) is type(theirs), (type(ours), type(theirs))
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            same(a, b)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs) and [type(k) for k in ours] == [type(k) for k in theirs]
        same(list(ours.values()), list(theirs.values()))
    elif isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        if theirs.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)
        else:
            np.testing.assert_array_equal(ours, theirs)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def check(proto: onnx.ModelProto, inputs: Arrays) -> list[Any]:
    """Results and what sessions say of the outputs are onnxruntime's; the results."""
    theirs = onnxruntime.InferenceSession(proto.SerializeToString(), providers=CPU)
    ours = fastcnn.InferenceSession(proto)
    assert [(o.name, o.type) for o in ours.get_outputs()] == [(o.name, o.type) for o in theirs.get_outputs()]
    results = list(ours.run(None, dict(inputs)))
    same(results, list(theirs.run(None, dict(inputs))))
    return results


# Operator, inputs, attributes, outputs, opset of the domain.
Row = tuple[str, Arrays, dict[str, Any], int, int]


def features() -> list[Row]:
    one: list[tuple[str, Arrays, dict[str, Any]]] = [
        *(("ArrayFeatureExtractor", {"x": x, "i": np.array(i)}, {}) for x in (X, WHOLE, NAMES.reshape(1, 5), floats(2, 4, 3))
          for i in ([0], [2, 0, 0])),
        ("ArrayFeatureExtractor", {"x": ROW, "i": np.array([1, 2])}, {}),
        ("Binarizer", {"x": X}, {"threshold": 0.25}),
        *(("Normalizer", {"x": x}, {"norm": norm}) for x in (X, np.abs(X), np.zeros_like(X), WHOLE, ROW) for norm in ("MAX", "L1", "L2")),
        *(("Scaler", {"x": x}, attrs) for x in (X, WHOLE.astype(np.int32), X.astype(np.float64))
          for attrs in ({"offset": [0.5], "scale": [2.0]}, {"offset": [1.0, 2.0, 3.0], "scale": [0.5, -1.0, 2.0]})),
        *(("Imputer", {"x": NAN}, {"replaced_value_float": float("nan"), "imputed_value_floats": v})
          for v in ([7.0], [7.0, 8.0, 9.0])),
        ("Imputer", {"x": np.round(X)}, {"replaced_value_float": 1.0, "imputed_value_floats": [-5.0]}),
        ("Imputer", {"x": WHOLE}, {"replaced_value_int64": 3, "imputed_value_int64s": [-9]}),
        ("FeatureVectorizer", {"a": X, "b": X[:, :2]}, {"inputdimensions": [3, 2]}),
        ("FeatureVectorizer", {"a": X, "b": X[:, :2]}, {"inputdimensions": [2, 4]}),
        ("CategoryMapper", {"x": NAMES}, {"cats_strings": ["bee", "ant"], "cats_int64s": [4, 9], "default_int64": -7}),
        ("CategoryMapper", {"x": np.array([4, 9, 1])}, {"cats_strings": ["bee", "ant"], "cats_int64s": [4, 9], "default_string": "none"}),
        ("OneHotEncoder", {"x": NAMES}, {"cats_strings": ["bee", "cat"]}),
        ("OneHotEncoder", {"x": WHOLE}, {"cats_int64s": [3, 1, 20]}),
        ("OneHotEncoder", {"x": X}, {"cats_int64s": [0, 1]}),
        ("ZipMap", {"x": X}, {"classlabels_strings": ["z", "a", "m"]}), ("ZipMap", {"x": X}, {"classlabels_int64s": [5, -1, 7]}),
        ("ZipMap", {"x": ROW}, {"classlabels_int64s": [5, 6, 7]}),
    ]
    encoders: list[tuple[Arrays, dict[str, Any], int]] = [
        ({"x": NAMES}, {"classes_strings": ["cat", "ant"], "default_int64": -3}, 1),
        ({"x": np.array([0, 1, 2])}, {"classes_strings": ["cat", "ant"], "default_string": "?"}, 1),
        ({"x": NAMES}, {"keys_strings": ["ant", "bee"], "values_int64s": [5, 6]}, 2),
        ({"x": NAMES}, {"keys_strings": ["ant", "bee"], "values_floats": [0.5, 1.5], "default_float": 9.0}, 3),
        ({"x": np.array([1, 2, 3])}, {"keys_int64s": [1, 3], "values_strings": ["one", "three"]}, 2),
        ({"x": NAN}, {"keys_floats": [float("nan"), float(NAN[~np.isnan(NAN)][0])], "values_int64s": [1, 2]}, 4),
        ({"x": np.array([1, 2, 3])}, {"keys_int64s": [1, 3], "values_floats": [1.5, 3.5]}, 4),
        ({"x": np.array([1, 2, 3], np.float64)}, {"keys_tensor": numpy_helper.from_array(np.array([1.0, 2.0])),
                                                  "values_tensor": numpy_helper.from_array(np.array([10.0, 20.0])),
                                                  "default_tensor": numpy_helper.from_array(np.array([-5.0]))}, 4),
    ]
    return [*((op, inputs, attrs, 1, 1) for op, inputs, attrs in one),
            *(("LabelEncoder", inputs, attrs, 1, version) for inputs, attrs, version in encoders)]


def linear() -> list[Row]:
    weights = [float(v) for v in floats(9, seed=4)]
    rows: list[Row] = []
    for transform in TRANSFORMS:
        for labels in ({"classlabels_strings": ["a", "b", "c"]}, {"classlabels_ints": [3, 1, 2]}):
            rows.append(("LinearClassifier", {"x": X}, {"coefficients": weights, "intercepts": [0.1, 0.2, -0.3], **labels,
                                                        "post_transform": transform}, 2, 1))
        rows += [("LinearClassifier", {"x": WHOLE},
                  {"coefficients": weights[:3], "intercepts": [0.1], "post_transform": transform, **labels}, 2, 1)
                 for labels in ({"classlabels_strings": STRINGS}, {"classlabels_ints": [4, 2]})]
        rows += [("LinearRegressor", {"x": X}, {"coefficients": weights[:3 * n], "targets": n, "intercepts": [0.5] * n,
                                                "post_transform": transform}, 1, 1) for n in (1, 3)]
    rows.append(("LinearRegressor", {"x": X}, {"coefficients": weights[:3]}, 1, 1))
    return rows


def forest(kind: str, target_ids: Sequence[int], weights: Sequence[float], mode: str = "BRANCH_LEQ", **more: Any) -> dict[str, Any]:
    """Two trees: one with a node below its root, one of a root; a weight for each of their five leaves."""
    leaves = [(0, 2), (0, 3), (0, 4), (1, 1), (1, 2)]
    return {
        "nodes_treeids": [0, 0, 0, 0, 0, 1, 1, 1], "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
        "nodes_featureids": [0, 1, 0, 0, 0, 2, 0, 0], "nodes_values": [0.2, -0.1, 0, 0, 0, 0.4, 0, 0],
        "nodes_modes": [mode, mode, "LEAF", "LEAF", "LEAF", mode, "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 3, 0, 0, 0, 1, 0, 0], "nodes_falsenodeids": [2, 4, 0, 0, 0, 2, 0, 0],
        f"{kind}_treeids": [t for t, _ in leaves], f"{kind}_nodeids": [n for _, n in leaves], f"{kind}_ids": list(target_ids),
        f"{kind}_weights": list(weights), **more}


def trees() -> list[Row]:
    signed, positive = [0.5, -1.5, 2.0, 0.25, -0.75], [0.1, 0.4, 0.3, 0.2, 0.35]
    rows: list[Row] = []
    for mode in ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"):
        rows.append(("TreeEnsembleRegressor", {"x": X}, forest("target", [0] * 5, signed, mode, n_targets=1), 1, 1))
    for how in ("SUM", "AVERAGE", "MIN", "MAX"):
        rows += [("TreeEnsembleRegressor", {"x": X}, forest("target", ids, signed, n_targets=n, aggregate_function=how, base_values=base),
                  1, 1) for ids, n, base in (([0] * 5, 1, [0.5]), ([0, 1, 0, 1, 1], 2, []))]
    rows += [("TreeEnsembleRegressor", {"x": NAN}, forest("target", [0] * 5, signed, n_targets=1, nodes_missing_value_tracks_true=tracks),
              1, 1) for tracks in ([1, 0, 0, 0, 0, 1, 0, 0], [0] * 8)]
    rows.append(("TreeEnsembleRegressor", {"x": X}, forest("target", [0, 1, 0, 1, 1], signed, n_targets=2, post_transform="SOFTMAX"), 1, 1))
    for transform in TRANSFORMS:
        rows += [("TreeEnsembleClassifier", {"x": X}, forest("class", [0, 1, 2, 1, 0], w, classlabels_int64s=[5, 6, 7], base_values=b,
                                                             post_transform=transform), 2, 1)
                 for w in (signed, positive) for b in ([], [0.1, 0.2, 0.3])]
        rows += [("TreeEnsembleClassifier", {"x": X}, forest("class", [0] * 5, w, classlabels_strings=STRINGS, post_transform=transform),
                  2, 1) for w in (signed, positive)]
    rows.append(("TreeEnsembleClassifier", {"x": WHOLE}, forest("class", [0, 1, 2, 1, 0], positive, classlabels_int64s=[3, 4, 9]), 2, 1))
    return rows


def machines() -> list[Row]:
    support, pairs = [float(v) for v in floats(15, seed=7)], [float(v) for v in floats(10, seed=8)]
    rows: list[Row] = []
    for kernel, params in (("LINEAR", [0.0, 0.0, 0.0]), ("RBF", [0.5, 0.0, 3.0]), ("POLY", [0.5, 1.0, 3.0]), ("SIGMOID", [0.5, 0.1, 3.0])):
        common = {"kernel_type": kernel, "kernel_params": params, "support_vectors": support}
        rows.append(("SVMRegressor", {"x": X}, {**common, "coefficients": pairs[:5], "n_supports": 5, "rho": [0.3]}, 1, 1))
        rows.append(("SVMRegressor", {"x": X}, {**common, "coefficients": pairs[:5], "n_supports": 5, "rho": [0.3], "one_class": 1}, 1, 1))
        three = {**common, "coefficients": pairs, "vectors_per_class": [2, 1, 2], "rho": [0.1, -0.2, 0.05],
                 "classlabels_strings": ["a", "b", "c"]}
        two = {**common, "coefficients": pairs[:5], "vectors_per_class": [2, 3], "rho": [0.1], "classlabels_ints": [4, 2]}
        rows += [("SVMClassifier", {"x": X}, {**case, "post_transform": t}, 2, 1) for case in (three, two) for t in TRANSFORMS]
        rows += [("SVMClassifier", {"x": X}, {**three, "prob_a": [-1.0, -0.5, -2.0], "prob_b": [0.1, 0.2, -0.1]}, 2, 1),
                 ("SVMClassifier", {"x": X}, {**two, "prob_a": [-1.0], "prob_b": [0.1]}, 2, 1)]
    rows.append(("SVMRegressor", {"x": X}, {"coefficients": pairs[:3], "rho": [0.3], "kernel_params": [0.0, 0.0, 0.0]}, 1, 1))
    rows += [("SVMClassifier", {"x": X}, {"coefficients": pairs[:3 * len(labels)], "rho": [0.3], "classlabels_ints": labels,
                                          "kernel_params": [0.0, 0.0, 0.0], "post_transform": t}, 2, 1)
             for labels in ([3, 4, 5], [3, 4]) for t in TRANSFORMS]
    return rows


ROWS = [*features(), *linear(), *trees(), *machines()]


@pytest.mark.parametrize("op, inputs, attrs, outputs, version", [pytest.param(*row, id=f"{row[0]}-{k}") for k, row in enumerate(ROWS)])
def test_operator_of_the_ml_domain_agrees_with_onnxruntime(op, inputs, attrs, outputs, version):
    names = ["y", "z"][:outputs]
    attrs = {name: value for name, value in attrs.items() if not (isinstance(value, list) and not value)}
    check(ml_model([ml_node(op, list(inputs), names, **attrs)], inputs, names, version), inputs)


def run(op: str, inputs: Arrays, outputs: int = 1, **attrs: Any) -> list[Any]:
    names = ["y", "z"][:outputs]
    return list(fastcnn.load(ml_model([ml_node(op, list(inputs), names, **attrs)], inputs, names, 1)).run(None, dict(inputs)))


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.int32])
def test_binarizer_keeps_types_that_onnxruntime_does_not_take(dtype):
    same(run("Binarizer", {"x": WHOLE.astype(dtype)}, threshold=0.5), [(WHOLE > 0.5).astype(dtype)])


def test_label_of_two_classes_with_weights_for_both_is_that_of_the_larger_sum():
    """onnxruntime takes the second whenever its sum is positive."""
    attrs = forest("class", [0, 1, 0, 1, 0], [0.1, 0.4, 0.3, 0.2, 0.35], classlabels_int64s=[3, 4])
    labels, scores = run("TreeEnsembleClassifier", {"x": X}, 2, **attrs)
    np.testing.assert_array_equal(labels, np.array([3, 4])[scores.argmax(1)])


def test_base_values_count_for_targets_without_a_leaf():
    """onnxruntime leaves them out there."""
    attrs = forest("target", [0, 1, 0, 1, 1], [0.5, -1.5, 2.0, 0.25, -0.75], n_targets=2)
    plain, = run("TreeEnsembleRegressor", {"x": X}, **attrs)
    based, = run("TreeEnsembleRegressor", {"x": X}, **attrs, base_values=[0.5, -0.5])
    np.testing.assert_allclose(based, plain + np.float32([0.5, -0.5]))


def tree_ensemble(mode: int, how: int, members: Sequence[float] | None) -> onnx.NodeProto:
    """TreeEnsemble-5 of a root with a node below it, and of a root alone."""
    attrs: dict[str, Any] = {
        "n_targets": 2, "aggregate_function": how, "post_transform": 0, "tree_roots": [0, 2], "nodes_featureids": [0, 1, 2],
        "nodes_splits": numpy_helper.from_array(np.array([0.2, -0.1, 0.4], np.float32)),
        "nodes_modes": numpy_helper.from_array(np.array([0 if members else mode, 6 if members else mode, mode], np.uint8)),
        "nodes_truenodeids": [1, 1, 3], "nodes_trueleafs": [0, 1, 1], "nodes_falsenodeids": [0, 2, 4], "nodes_falseleafs": [1, 1, 1],
        "leaf_targetids": [0, 1, 0, 1, 0], "leaf_weights": numpy_helper.from_array(np.array([0.5, -1.5, 2, 0.25, -0.75], np.float32))}
    if members:
        attrs["membership_values"] = numpy_helper.from_array(np.array([*members, np.nan], np.float32))
    return ml_node("TreeEnsemble", ["x"], ["y"], **attrs)


@pytest.mark.parametrize("mode", range(6))
@pytest.mark.parametrize("how, members", [(0, None), (1, None), (2, None), (3, None), (1, [float(X[0, 1]), float(X[2, 1])])])
def test_tree_ensemble_of_opset_5_agrees_with_onnxruntime(mode, how, members):
    check(ml_model([tree_ensemble(mode, how, members)], {"x": X}, ["y"], 5), {"x": X})


def test_every_operator_has_a_case():
    assert {op for _, op in ML} == {row[0] for row in ROWS} | {"TreeEnsemble", "CastMap", "DictVectorizer"}
    named = {s.name for s in onnx.defs.get_all_schemas() if s.domain == ML_DOMAIN}
    assert named == {op for _, op in ML}


def map_model(op: str, key: int, value: int, **attrs: Any) -> onnx.ModelProto:
    proto = ml_model([ml_node(op, ["x"], ["y"], **attrs)], {}, ["y"], 1)
    info = proto.graph.input.add(name="x")
    info.type.map_type.key_type = key
    info.type.map_type.value_type.CopyFrom(helper.make_tensor_type_proto(value, []))
    return proto


INT, FLOAT, DOUBLE, STRING = TensorProto.INT64, TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.STRING
PAIR, COUNTS, WORDS = {2: 1.5, 0: -2.5}, {"a": 4, "c": 8}, {"string_vocabulary": ["a", "c", "b", "z"]}
# Operator, the map, types of its keys and values, attributes, the result; the last column: whether onnxruntime's Python takes such a map.
MAPS: list[tuple[str, dict[Any, Any], int, int, dict[str, Any], np.ndarray, bool]] = [
    ("CastMap", PAIR, INT, FLOAT, {}, np.array([[-2.5, 1.5]], np.float32), True),
    ("CastMap", PAIR, INT, FLOAT, {"map_form": "SPARSE", "max_map": 4}, np.array([[-2.5, 0, 1.5, 0]], np.float32), True),
    ("CastMap", PAIR, INT, FLOAT, {"cast_to": "TO_INT64"}, np.array([[-2, 1]]), True),
    ("CastMap", {3: "1.5", 1: "7"}, INT, STRING, {}, np.array([[7, 1.5]], np.float32), False),
    ("CastMap", {3: "a", 1: "b"}, INT, STRING, {"cast_to": "TO_STRING", "map_form": "SPARSE", "max_map": 4},
     np.array([["0", "b", "0", "a"]], object), False),
    ("DictVectorizer", {"a": 4.0, "c": 8.0}, STRING, FLOAT, WORDS, np.array([[4, 8, 0, 0]], np.float32), True),
    ("DictVectorizer", COUNTS, STRING, INT, WORDS, np.array([[4, 8, 0, 0]]), False),
    ("DictVectorizer", {3: 1.5}, INT, FLOAT, {"int64_vocabulary": [1, 3]}, np.array([[0, 1.5]], np.float32), True),
    ("DictVectorizer", {3: 1.5}, INT, DOUBLE, {"int64_vocabulary": [1, 3]}, np.array([[0, 1.5]]), False),
    ("DictVectorizer", {3: "x"}, INT, STRING, {"int64_vocabulary": [1, 3]}, np.array([["", "x"]], object), False),
]


@pytest.mark.parametrize("op, given, key, value, attrs, expected, compared", MAPS)
def test_maps_become_tensors(op, given, key, value, attrs, expected, compared):
    proto = map_model(op, key, value, **attrs)
    session = fastcnn.InferenceSession(proto)
    theirs = onnxruntime.InferenceSession(proto.SerializeToString(), providers=CPU)
    for side in ("get_inputs", "get_outputs"):
        assert [i.type for i in getattr(session, side)()] == [i.type for i in getattr(theirs, side)()]
    results = list(session.run(None, {"x": given}))
    same(results, [expected])
    if compared:
        same(results, list(theirs.run(None, {"x": given})))


def test_maps_that_do_not_fit_are_refused():
    model = fastcnn.load(map_model("DictVectorizer", INT, FLOAT, int64_vocabulary=[1, 3]))
    for wrong, message in (([1.0], "expected a dict for map"), ({1: "x"}, "a value is no float32")):
        with pytest.raises(InputError, match=f"input 'x': {message}"):
            model.run(None, {"x": wrong})


def test_classifier_at_the_end_of_a_network():
    """Convolution, pooling, a linear classifier, normalised scores, maps; what the file says of its outputs and what it does not."""
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]), node("GlobalAveragePool", ["r"], ["g"]),
             node("Flatten", ["g"], ["f"]),
             ml_node("LinearClassifier", ["f"], ["label", "s"], "linear", coefficients=[float(v) for v in floats(12)],
                     intercepts=[0.1, 0.2, 0.3], classlabels_strings=["ant", "bee", "cat"], post_transform="SOFTMAX"),
             ml_node("Normalizer", ["s"], ["p"], "norm", norm="L1"),
             ml_node("ZipMap", ["p"], ["maps"], "zip", classlabels_strings=["ant", "bee", "cat"])]
    images = floats(5, 3, 8, 8)
    proto = ml_model(nodes, {"x": images}, ["label", "maps"], constants={"w": floats(4, 3, 3, 3)})
    labels, maps = check(proto, {"x": images})
    assert labels.dtype == object and all(max(m, key=m.get) == label for label, m in zip(labels, maps))
    assert [(o.name, o.type) for o in fastcnn.InferenceSession(proto).get_outputs()] == [
        ("label", "tensor(string)"), ("maps", "seq(map(string,tensor(float)))")]


def test_maps_in_ort_values():
    proto = ml_model([ml_node("ZipMap", ["x"], ["y"], classlabels_strings=["a", "b", "c"])], {"x": X}, ["y"])
    value, = fastcnn.InferenceSession(proto).run_with_ort_values(None, {"x": fastcnn.OrtValue.ortvalue_from_numpy(X)})
    assert value.data_type() == "seq(map(string,tensor(float)))" and not value.is_tensor()


@pytest.mark.parametrize("reader", [
    ml_node("LabelEncoder", ["e"], ["y"], classes_strings=["a", "b"], default_string="?"), tree_ensemble(0, 1, None),
    node("RegexFullMatch", ["e"], ["y"], pattern="a+")], ids=lambda n: n.op_type)
def test_readers_of_values_of_unknown_type_load(reader):
    """Behind an operator that inference does not know; onnx's ends the process there."""
    kind = {"LabelEncoder": np.arange(2), "TreeEnsemble": X, "RegexFullMatch": NAMES}[reader.op_type]
    op, inputs = ("Gelu", ["x"]) if kind is X else ("ExpandDims", ["x", "k"])
    hidden = node(op, inputs, ["e"], domain="com.microsoft")
    reader.input[0] = "e"
    proto = ml_model([hidden, reader], {"x": kind}, ["y"], 5 if kind is X else 1, {"k": np.array(0, np.int32)})
    proto.opset_import[0].version = 20
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert fastcnn.load(proto).get_inputs()[0].name == "x"


@pytest.mark.parametrize("op, inputs, attrs, message", [
    ("ZipMap", {"x": X}, {"classlabels_int64s": [1, 2]}, "3 scores for 2 labels"),
    ("ArrayFeatureExtractor", {"x": X, "i": np.array([3])}, {}, r"indices \[3\] of 3 features"),
    ("OneHotEncoder", {"x": WHOLE}, {"cats_int64s": [0], "zeros": 0}, "none of the categories"),
])
def test_what_does_not_fit_is_named(op, inputs, attrs, message):
    proto = ml_model([ml_node(op, list(inputs), ["y"], **attrs)], inputs, ["y"], 1)
    with pytest.raises(FastCNNError, match=f"{op} 'node'.*{message}") as caught:
        fastcnn.load(proto).run(None, dict(inputs))
    assert isinstance(caught.value, (ExecutionError, ShapeError))
