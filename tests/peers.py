"""What versions of onnxruntime and onnx comparisons need: the one place that knows.

A test whose id matches is skipped, saying why, where the package is no newer than the version that was seen to fail.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import onnx
import onnxruntime
import pytest


class Old(NamedTuple):
    """Tests, by regular expression on their ids; the newest version that was tried and failed; how."""

    tests: str
    version: str
    why: str


ONNXRUNTIME = [
    Old(r"test_empty_tensors_as_onnxruntime_has_them\[(LpNormalization|TopK|OneHot|Einsum)-", "1.23", "ends the process on empty tensors"),
    Old(r"test_rewritten_operator_runs_natively\[com\.microsoft\.ExpandDims-", "1.23", "ends the process"),
    Old(r"test_rewritten_operator_runs_natively\[com\.microsoft\.FusedConv-.*activation=Relu1", "1.23", "fails in NCHWc"),
    Old(r"test_both_modules_give_the_same\[IOBinding\.synchronize_", "1.23", "ends the process"),
    Old(r"test_rewritten_operator.*\[com\.microsoft\.SkipLayerNormalization-17-1\]", "1.23", "gives no second output"),
    Old(r"test_symbols_of_one_size\[computed\]", "1.23", "ends the process"),
    Old(r"test_both_modules_give_the_same\[(print_debug_info|set_default_logger_callback|OrtValue\.from_dlpack)\]", "1.23", "lacks it"),
    Old(r"test_both_modules_give_the_same\[(InferenceSession\.create_ortvalue|SessionOptions\.add_initializer)", "1.23", "other results"),
    Old(r"test_session_parity.*(test_methods_take_the_same_arguments\[OrtValue|test_every_name_of_the_module_is)", "1.23", "lacks names"),
    Old(r"test_drop_in_(ort_value|errors|io_binding_to_memory|added_initializer)\[onnxruntime", "1.23", "OrtValue without DLPack"),
    Old(r"test_empty.*\[DeformConv-|test_ops_deform_conv|test_zoo_tasks.*\[deformable", "1.23", "no DeformConv"),
    Old(r"test_operator_gives_onnxruntimes_numbers\[CumProd-", "1.23", "lacks CumProd"),
    Old(r"test_kind_is_native.*deform", "1.23", "no DeformConv"),
    Old(r"test_operator_of_the_ml_domain.*\[(Linear|TreeEnsemble|SVM)Classifier-", "1.23", "other scores"),
    Old(r"test_average_pool_(matches_onnxruntime\[kernel_shape\[5,4\]|dilated)", "1.23", "counts padding otherwise"),
    Old(r"half_pixel_symmetric", "1.23", "other coordinates"),
    Old(r"test_ops_resize.*test_axes", "1.23", "refuses negative axes"),
    Old(r"test_shape_arithmetic_gives_onnxruntimes_numbers\[Reduce.*noop_with_empty_axes", "1.23", "reduces"),
    Old(r"test_operator_of_every_rank\[LayerNormalization-", "1.23", "loses digits of means of two values, refuses one"),
    Old(r"test_col2im_matches_onnxruntime\[(one|three) ax", "1.23", "two axes only"),
]
ONNX = [
    Old(r"test_cum_prod", "1.19", "no CumProd"),
    Old(r"test_table_is_what_the_schemas_say|test_every_rule_is_of_an_attribute", "1.19", "older schemas"),
    Old(r"test_symbols_of_every_operator", "1.19", "fewer operators"),
    Old(r"test_(l2normalization_axis_0|qlinearmatmul_.*int8_float\d+)_cpu", "1.19", "expects other numbers than newer versions"),
    Old(r"test_(adam_multiple|dft_inverse.*)_cpu", "1.19", "its reference, which computes them, gives other numbers"),
    Old(r"test_recurrent_layers_with_the_batch_first", "1.19", "its reference has no layout=1 in two directions"),
]


def older(version: str, than: str) -> bool:
    """Whether `version` is at most `than`, in as many parts as that has."""
    count = than.count(".") + 1
    return [int(part) for part in version.split(".")[:count]] <= [int(part) for part in than.split(".")]


def reasons(test: str) -> Iterator[str]:
    """Why the test cannot be compared with what is installed."""
    for package, rows in ((onnxruntime, ONNXRUNTIME), (onnx, ONNX)):
        for row in rows:
            if older(package.__version__, row.version) and re.search(row.tests, test):
                yield f"{package.__name__} {package.__version__}: {row.why}"


def skip_old(items: list[pytest.Item]) -> None:
    for item in items:
        for why in reasons(item.nodeid):
            item.add_marker(pytest.mark.skip(reason=why))
