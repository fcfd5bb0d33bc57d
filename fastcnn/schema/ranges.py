"""Checks attributes against the values that ONNX allows, whatever the shapes; once, when a model is read."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastcnn.budget import MAX_RANK
from fastcnn.ir.errors import ModelError
from fastcnn.ir.graph import Node
from fastcnn.ir.record import dataclass
from fastcnn.onnx_proto.types import ELEMENT_NAMES

# Extents, steps and counts have to fit where two of them are multiplied: 31 bits.
MOST = (1 << 31) - 1
LONGEST_EQUATION, MOST_OPERANDS = 2000, 64
# Powers that a sum is taken of; with higher ones everything but the largest element is lost to rounding.
HIGHEST_POWER = 1 << 10
# Words that TfIdfVectorizer looks at together: its time grows with each.
MOST_GRAMS = 1000
# Where infinite is a value like others: limits that are none, what fills a border.
MAY_BE_INFINITE = frozenset({("Clip", "min"), ("Clip", "max"), ("Pad", "value"), ("Resize", "extrapolation_value"),
                             ("Constant", "value_float"), ("Constant", "value_floats")})


@dataclass(frozen=True)
class Rule:
    """fits(value) -> bool, and the text of the error where it is False."""

    fits: Callable[[Any], bool]
    wanted: str


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def one(low: int, high: int = MOST) -> Rule:
    """A rule for an integer between two bounds, inclusive."""
    return Rule(lambda v: _is_int(v) and low <= v <= high, f"from {low} to {high}")


def each(low: int, high: int = MOST) -> Rule:
    """A rule for a list of such integers, at most two for each axis that a tensor may have."""
    return Rule(lambda v: isinstance(v, list) and len(v) <= 2 * MAX_RANK and all([_is_int(n) and low <= n <= high for n in v]),
                f"at most {2 * MAX_RANK} numbers from {low} to {high}")


def names(*allowed: str) -> Rule:
    """A rule for a string out of a few."""
    return Rule(lambda v: isinstance(v, str) and v in allowed, f"one of {', '.join(allowed)}")


FLAG, AXIS, AXES, ANY = one(0, 1), one(-MAX_RANK, MAX_RANK), each(-MAX_RANK, MAX_RANK), Rule(lambda v: True, "")
SIZES, EXTENTS, OFFSETS, COUNT, SIZE = each(1), each(0), each(-MOST), one(1), one(0)
ELEMENT = Rule(_is_int, "an element type")           # fastcnn.schema.typing knows which
WORKING_TYPE = Rule(lambda v: _is_int(v) and v in (0, 1, 10, 11, 16), "the number of a floating point type")
POSITIVE = Rule(lambda v: isinstance(v, float) and v > 0, "above 0")
TEXT = Rule(lambda v: isinstance(v, str), "text")
NUMBER = Rule(lambda v: isinstance(v, (int, float)), "a number")
NUMBERS = Rule(lambda v: isinstance(v, list) and all([isinstance(n, (int, float)) for n in v]), "numbers")
NOT_NEGATIVE = Rule(lambda v: isinstance(v, float) and v >= 0, "at least 0")

# Attribute -> its rule, for all operators that have it but for those of RULES_OF.
RULES: dict[str, Rule] = {
    **dict.fromkeys(("kernel_shape", "strides", "dilations", "pooled_shape"), SIZES),
    **dict.fromkeys(("pads", "paddings"), OFFSETS),
    **dict.fromkeys(("output_padding", "output_shape", "split"), EXTENTS),
    **dict.fromkeys(("group", "offset_group", "num_groups", "hidden_size", "output_height", "output_width", "blocksize", "size",
                     "num_outputs", "num_scan_inputs", "sample_size"), COUNT),
    **dict.fromkeys(("sampling_ratio", "block_size"), SIZE),
    **dict.fromkeys(("axis", "batch_axis", "time_axis"), AXIS),
    **dict.fromkeys(("axes", "scan_input_axes", "scan_output_axes"), AXES),
    **dict.fromkeys(("directions", "scan_input_directions", "scan_output_directions"), each(0, 1)),
    **dict.fromkeys((
        "align_corners", "allowzero", "antialias", "broadcast", "ceil_mode", "center_point_box", "count_include_pad", "detect_negative",
        "detect_positive", "exclude_outside", "exclusive", "fmod", "input_forget", "inverse", "is_case_sensitive", "is_test", "keepdims",
        "largest", "layout", "linear_before_reset", "new_axis", "noop_with_empty_axes", "onesided", "output_sequence", "periodic",
        "reverse", "saturate", "select_last_index", "sorted", "spatial", "storage_order", "training_mode", "transA", "transB",
        "upper"), FLAG),
    **dict.fromkeys(("alpha", "beta", "gamma", "scale"), NUMBER),
    "batch_dims": one(0, MAX_RANK),
    **dict.fromkeys(("max_gram_length", "min_gram_length"), one(1, MOST_GRAMS)),
    "max_skip_count": one(0, MOST_GRAMS),
    "perm": each(0, MAX_RANK),
    "p": one(1, HIGHEST_POWER),
    "stash_type": WORKING_TYPE,
    "auto_pad": names("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", ""),
    "keep_aspect_ratio_policy": names("stretch", "not_larger", "not_smaller"),
    "nearest_mode": names("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    "padding_mode": names("zeros", "border", "reflection"),
    "approximate": names("none", "tanh"),
    "round_mode": names("up", "down", "nearest"),
    "equation": Rule(lambda v: isinstance(v, str) and len(v) <= LONGEST_EQUATION, f"of at most {LONGEST_EQUATION} characters"),
    **dict.fromkeys(("epsilon", "spatial_scale", "clip"), NOT_NEGATIVE),
    "seed": ANY,
    **dict.fromkeys(("to", "dtype", "output_dtype", "output_datatype"), ELEMENT),
    **dict.fromkeys(("start", "end", "starts", "ends", "consumed_inputs", "value_int", "value_ints", "value_string", "value_strings"), ANY),
}
PAD_MODES, REDUCTIONS = names("constant", "edge", "reflect", "wrap"), names("none", "add", "mul", "min", "max")
RULES_OF: dict[tuple[str, str], Rule] = {
    ("EyeLike", "k"): one(-MOST),
    ("TopK", "k"): SIZE,
    ("Reshape", "shape"): each(-1),
    **dict.fromkeys((("RandomNormal", "shape"), ("RandomUniform", "shape")), EXTENTS),
    ("Upsample", "scales"): Rule(lambda v: isinstance(v, list) and all(isinstance(s, float) and s > 0 for s in v), "above 0"),
    **dict.fromkeys((("Upsample", "height_scale"), ("Upsample", "width_scale")), POSITIVE),
    **dict.fromkeys((("LpPool", "p"), ("GlobalLpPool", "p")),
                    Rule(lambda v: isinstance(v, (int, float)) and 1 <= v <= HIGHEST_POWER, f"from 1 to {HIGHEST_POWER}")),
    ("Resize", "coordinate_transformation_mode"): names(
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
        "tf_half_pixel_for_nn"),
    ("RoiAlign", "coordinate_transformation_mode"): names("half_pixel", "output_half_pixel"),
    ("RoiAlign", "mode"): names("avg", "max"),
    **dict.fromkeys((("Resize", "mode"), ("Upsample", "mode")), names("nearest", "linear", "bilinear", "cubic")),
    ("GridSample", "mode"): names("bilinear", "linear", "nearest", "bicubic", "cubic"),
    ("Pad", "mode"): PAD_MODES,
    **dict.fromkeys((("DepthToSpace", "mode"), ("SpaceToDepth", "mode")), names("DCR", "CRD")),
    **dict.fromkeys((("ScatterElements", "reduction"), ("ScatterND", "reduction")), REDUCTIONS),
    ("BitShift", "direction"): names("LEFT", "RIGHT"),
    **dict.fromkeys((("LSTM", "direction"), ("GRU", "direction"), ("RNN", "direction")), names("forward", "reverse", "bidirectional")),
    ("Cast", "to"): Rule(lambda v: isinstance(v, (int, str)), "an element type"),
    **dict.fromkeys((("LSTM", "activations"), ("GRU", "activations"), ("RNN", "activations")),
                    Rule(lambda v: isinstance(v, list) and len(v) <= 6, "at most six names")),
}

# Operators that no schema describes: experimental ones and com.microsoft's.
WITHOUT_SCHEMA: dict[tuple[str, str], Rule] = {
    **dict.fromkeys(((name, "input_as_shape") for name in ("ConstantFill", "GivenTensorFill")), FLAG),
    **{(name, f"transBatch{side}"): FLAG for name in ("FusedMatMul", "FusedMatMulActivation", "TransposeMatMul") for side in "AB"},
    **dict.fromkeys((("MeanVarianceNormalization", "across_channels"), ("MeanVarianceNormalization", "normalize_variance")), FLAG),
    **dict.fromkeys(((name, "channels_last") for name in ("GroupNorm", "QLinearAveragePool", "QLinearGlobalAveragePool")), FLAG),
    ("GroupNorm", "activation"): FLAG,
    **dict.fromkeys(((name, shape) for name in ("ConstantFill", "GivenTensorFill") for shape in ("shape", "extra_shape")), EXTENTS),
    ("ConstantFill", "dtype"): Rule(lambda v: _is_int(v) and v in ELEMENT_NAMES, "an element type"),
    ("ConstantFill", "value"): NUMBER,
    **dict.fromkeys((("GivenTensorFill", "values"), ("ImageScaler", "bias")), NUMBERS),
    ("QLinearSoftmax", "opset"): COUNT,
    **{(name, "activation"): TEXT for name in ("FusedConv", "FusedGemm", "FusedMatMulActivation", "NhwcConv", "NhwcFusedConv")},
    **{(name, "activation_params"): NUMBERS for name in ("FusedConv", "NhwcConv", "NhwcFusedConv")},
    **{("FusedGemm", f"activation_{name}"): NUMBER for name in ("alpha", "beta", "gamma")},
    ("Crop", "border"): Rule(lambda v: EXTENTS.fits(v) and len(v) == 4, "four numbers from 0"),
    ("Crop", "scale"): Rule(lambda v: EXTENTS.fits(v) and len(v) == 2, "two numbers from 0"),
}


def check_ranges(node: Node) -> None:
    """Raises ModelError naming node, attribute and value where an attribute of an ONNX or com.microsoft operator is out of range."""
    for name, value in node.attrs.items():
        rule = RULES_OF.get((node.op_type, name)) or WITHOUT_SCHEMA.get((node.op_type, name)) or RULES.get(name)
        if rule is not None and not rule.fits(value):
            raise ModelError(f"{node.where()}: {name}={_shown(value)}, it has to be {rule.wanted}")
        if isinstance(value, float) or (isinstance(value, list) and value and isinstance(value[0], float)):
            finite = math.isfinite(value) if isinstance(value, float) else all(math.isfinite(v) for v in value if isinstance(v, float))
            if not finite and (node.op_type, name) not in MAY_BE_INFINITE:
                raise ModelError(f"{node.where()}: {name}={_shown(value)} is not finite")
    _check_together(node)


def _check_together(node: Node) -> None:
    """Checks that involve several attributes, or an attribute and the number of inputs and outputs."""
    made = node.attrs.get("num_outputs")
    if node.op_type == "Split" and made is not None and made != len(node.outputs):
        raise ModelError(f"{node.where()}: num_outputs={made}, the node has {len(node.outputs)}")
    if node.op_type == "Einsum" and len(node.inputs) > MOST_OPERANDS:
        raise ModelError(f"{node.where()}: {len(node.inputs)} inputs, at most {MOST_OPERANDS} are possible")
    if node.op_type == "TfIdfVectorizer":
        starts, pool = node.attrs.get("ngram_counts") or [], node.attrs.get("pool_int64s") or node.attrs.get("pool_strings") or []
        if starts != sorted(starts) or (starts and not 0 <= starts[0] <= starts[-1] <= len(pool)):
            raise ModelError(f"{node.where()}: ngram_counts={_shown(starts)}, they have to rise, to {len(pool)} at most")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
