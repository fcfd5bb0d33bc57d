"""ONNX's schemas of operators with kernels and of common others, as a table, since importing onnx takes 45 ms.

A test compares every line with onnx's schemas at every opset. Operators that are not here are looked up there.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fastcnn.onnx_proto.attributes import Kind

# The opsets that the table is about: all operators in it are as onnx defines them at each of these.
OLDEST_OPSET, NEWEST_OPSET = 7, 28
MANY = (1 << 31) - 1


class Signature(NamedTuple):
    """A schema as plain data: arity, positions of required inputs, (kind, required) by attribute."""

    min_inputs: int
    max_inputs: int
    max_outputs: int
    required_inputs: tuple[int, ...]
    input_names: tuple[str, ...]
    attributes: Mapping[str, tuple[Kind, bool]]
    deprecated_since: int = 0


def parsed(row: str, since: int) -> Signature:
    """The signature of a row of the table.

    "inputs; attributes; outputs; withdrawn", from the second on where they say something:
    inputs      names; optional ones end in "?", one that repeats at least once in "+", one that may repeat in "*"
    attributes  name:KIND; required ones end in "!"
    outputs     the largest number of them, or "many"; 1 where it is left out
    """
    inputs, attributes, outputs, withdrawn = (row.split(";") + [""] * 3)[:4]
    formals, outputs = inputs.split(), outputs.strip()
    names, required, least = formals, list(range(len(formals))), len(formals)
    if "?" in inputs or "+" in inputs or "*" in inputs:
        names = [formal.rstrip("?+*") for formal in formals]
        required = [i for i, formal in enumerate(formals) if formal[-1] not in "?+*"]
        least = max([i + (formal[-1] != "*") for i, formal in enumerate(formals) if formal[-1] != "?"], default=0)
    kinds = {}
    for attribute in attributes.split():
        name, _, kind = attribute.partition(":")
        kinds[name] = _KINDS[kind]
    return Signature(least, MANY if formals and formals[-1][-1] in "+*" else len(formals),
                     MANY if outputs == "many" else int(outputs or 1), tuple(required), tuple(names), kinds,
                     since if withdrawn.strip() else 0)


# What stands behind the name of an attribute: its kind, and whether it is required.
_KINDS = {f"{name}{mark}": (kind, bool(mark)) for name, kind in Kind.__members__.items() for mark in ("", "!")}


# Operator -> the opsets that changed it -> what it is from there on; since before OLDEST_OPSET where the first is.
SIGNATURES: dict[str, dict[int, str]] = {
    "Abs": {6: "X"},
    "Acos": {7: "input"},
    "Acosh": {9: "input"},
    "Add": {7: "A B"},
    "AffineGrid": {20: "theta size; align_corners:INT"},
    "And": {7: "A B"},
    "ArgMax": {1: "data; axis:INT keepdims:INT", 12: "data; axis:INT keepdims:INT select_last_index:INT"},
    "ArgMin": {1: "data; axis:INT keepdims:INT", 12: "data; axis:INT keepdims:INT select_last_index:INT"},
    "Asin": {7: "input"},
    "Asinh": {9: "input"},
    "Atan": {7: "input"},
    "Atanh": {9: "input"},
    "AveragePool": {
        7: "X; auto_pad:STRING count_include_pad:INT kernel_shape:INTS! pads:INTS strides:INTS",
        10: "X; auto_pad:STRING ceil_mode:INT count_include_pad:INT kernel_shape:INTS! pads:INTS strides:INTS",
        19: "X; auto_pad:STRING ceil_mode:INT count_include_pad:INT dilations:INTS kernel_shape:INTS! pads:INTS strides:INTS",
    },
    "BatchNormalization": {
        7: "X scale B mean var; epsilon:FLOAT momentum:FLOAT spatial:INT; 5",
        9: "X scale B mean var; epsilon:FLOAT momentum:FLOAT; 5",
        14: "X scale B input_mean input_var; epsilon:FLOAT momentum:FLOAT training_mode:INT; 3",
    },
    "Bernoulli": {15: "input; dtype:INT seed:FLOAT"},
    "BitShift": {11: "X Y; direction:STRING!"},
    "BitwiseAnd": {18: "A B"},
    "BitwiseNot": {18: "X"},
    "BitwiseOr": {18: "A B"},
    "BitwiseXor": {18: "A B"},
    "Cast": {6: "input; to:INT!", 19: "input; saturate:INT to:INT!", 24: "input; round_mode:STRING saturate:INT to:INT!"},
    "CastLike": {15: "input target_type", 19: "input target_type; saturate:INT", 24: "input target_type; round_mode:STRING saturate:INT"},
    "Ceil": {6: "X"},
    "Celu": {12: "X; alpha:FLOAT"},
    "CenterCropPad": {18: "input_data shape; axes:INTS"},
    "Clip": {6: "input; max:FLOAT min:FLOAT", 11: "input min? max?"},
    "Col2Im": {18: "input image_shape block_shape; dilations:INTS pads:INTS strides:INTS"},
    "Compress": {9: "input condition; axis:INT"},
    "Concat": {4: "inputs+; axis:INT!"},
    "ConcatFromSequence": {11: "input_sequence; axis:INT! new_axis:INT"},
    "Constant": {
        1: "; value:TENSOR!",
        11: "; sparse_value:SPARSE_TENSOR value:TENSOR",
        12: "; sparse_value:SPARSE_TENSOR value:TENSOR value_float:FLOAT value_floats:FLOATS value_int:INT value_ints:INTS "
            "value_string:STRING value_strings:STRINGS",
    },
    "ConstantOfShape": {9: "input; value:TENSOR"},
    "Conv": {1: "X W B?; auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS pads:INTS strides:INTS"},
    "ConvInteger": {
        10: "x w x_zero_point? w_zero_point?; auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS pads:INTS strides:INTS",
    },
    "ConvTranspose": {
        1: "X W B?; auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS output_padding:INTS output_shape:INTS pads:INTS "
           "strides:INTS",
    },
    "Cos": {7: "input"},
    "Cosh": {9: "input"},
    "CumProd": {26: "x axis; exclusive:INT reverse:INT"},
    "CumSum": {11: "x axis; exclusive:INT reverse:INT"},
    "DFT": {17: "input dft_length?; axis:INT inverse:INT onesided:INT", 20: "input dft_length? axis?; inverse:INT onesided:INT"},
    "DeformConv": {19: "X W offset B? mask?; dilations:INTS group:INT kernel_shape:INTS offset_group:INT pads:INTS strides:INTS"},
    "DepthToSpace": {1: "input; blocksize:INT!", 11: "input; blocksize:INT! mode:STRING"},
    "DequantizeLinear": {
        10: "x x_scale x_zero_point?",
        13: "x x_scale x_zero_point?; axis:INT",
        21: "x x_scale x_zero_point?; axis:INT block_size:INT",
        23: "x x_scale x_zero_point?; axis:INT block_size:INT output_dtype:INT",
    },
    "Det": {11: "X"},
    "Div": {7: "A B"},
    "Dropout": {7: "data; ratio:FLOAT; 2", 12: "data ratio? training_mode?; seed:INT; 2"},
    "DynamicQuantizeLinear": {11: "x;; 3"},
    "Einsum": {12: "Inputs+; equation:STRING!"},
    "Elu": {6: "X; alpha:FLOAT"},
    "Equal": {7: "A B"},
    "Erf": {9: "input"},
    "Exp": {6: "input"},
    "Expand": {8: "input shape"},
    "EyeLike": {9: "input; dtype:INT k:INT"},
    "Flatten": {1: "input; axis:INT"},
    "Floor": {6: "X"},
    "GRU": {
        7: "X W R B? sequence_lens? initial_h?; activation_alpha:FLOATS activation_beta:FLOATS activations:STRINGS clip:FLOAT "
           "direction:STRING hidden_size:INT linear_before_reset:INT; 2",
        14: "X W R B? sequence_lens? initial_h?; activation_alpha:FLOATS activation_beta:FLOATS activations:STRINGS clip:FLOAT "
            "direction:STRING hidden_size:INT layout:INT linear_before_reset:INT; 2",
    },
    "Gather": {1: "data indices; axis:INT"},
    "GatherElements": {11: "data indices; axis:INT"},
    "GatherND": {11: "data indices", 12: "data indices; batch_dims:INT"},
    "Gelu": {20: "X; approximate:STRING"},
    "Gemm": {7: "A B C; alpha:FLOAT beta:FLOAT transA:INT transB:INT", 11: "A B C?; alpha:FLOAT beta:FLOAT transA:INT transB:INT"},
    "GlobalAveragePool": {1: "X"},
    "GlobalLpPool": {2: "X; p:INT"},
    "GlobalMaxPool": {1: "X"},
    "Greater": {7: "A B"},
    "GreaterOrEqual": {12: "A B"},
    "GridSample": {16: "X grid; align_corners:INT mode:STRING padding_mode:STRING"},
    "GroupNormalization": {
        18: "X scale bias; epsilon:FLOAT num_groups:INT!; 1; withdrawn",
        21: "X scale bias; epsilon:FLOAT num_groups:INT! stash_type:INT",
    },
    "HardSigmoid": {6: "X; alpha:FLOAT beta:FLOAT"},
    "HardSwish": {14: "X"},
    "Hardmax": {1: "input; axis:INT"},
    "Identity": {1: "input"},
    "If": {1: "cond; else_branch:GRAPH! then_branch:GRAPH!; many"},
    "InstanceNormalization": {6: "input scale B; epsilon:FLOAT"},
    "IsInf": {10: "X; detect_negative:INT detect_positive:INT"},
    "IsNaN": {9: "X"},
    "LRN": {1: "X; alpha:FLOAT beta:FLOAT bias:FLOAT size:INT!"},
    "LSTM": {
        7: "X W R B? sequence_lens? initial_h? initial_c? P?; activation_alpha:FLOATS activation_beta:FLOATS activations:STRINGS "
           "clip:FLOAT direction:STRING hidden_size:INT input_forget:INT; 3",
        14: "X W R B? sequence_lens? initial_h? initial_c? P?; activation_alpha:FLOATS activation_beta:FLOATS activations:STRINGS "
            "clip:FLOAT direction:STRING hidden_size:INT input_forget:INT layout:INT; 3",
    },
    "LayerNormalization": {17: "X Scale B?; axis:INT epsilon:FLOAT stash_type:INT; 3"},
    "LeakyRelu": {6: "X; alpha:FLOAT"},
    "Less": {7: "A B"},
    "LessOrEqual": {12: "A B"},
    "Log": {6: "input"},
    "LogSoftmax": {1: "input; axis:INT"},
    "Loop": {1: "M? cond? v_initial+; body:GRAPH!; many", 11: "M? cond? v_initial*; body:GRAPH!; many"},
    "LpNormalization": {1: "input; axis:INT p:INT"},
    "LpPool": {
        2: "X; auto_pad:STRING kernel_shape:INTS! p:INT pads:INTS strides:INTS",
        18: "X; auto_pad:STRING ceil_mode:INT dilations:INTS kernel_shape:INTS! p:INT pads:INTS strides:INTS",
    },
    "MatMul": {1: "A B"},
    "MatMulInteger": {10: "A B a_zero_point? b_zero_point?"},
    "Max": {6: "data_0+"},
    "MaxPool": {
        1: "X; auto_pad:STRING kernel_shape:INTS! pads:INTS strides:INTS",
        8: "X; auto_pad:STRING kernel_shape:INTS! pads:INTS storage_order:INT strides:INTS; 2",
        10: "X; auto_pad:STRING ceil_mode:INT dilations:INTS kernel_shape:INTS! pads:INTS storage_order:INT strides:INTS; 2",
    },
    "MaxRoiPool": {1: "X rois; pooled_shape:INTS! spatial_scale:FLOAT"},
    "MaxUnpool": {9: "X I output_shape?; kernel_shape:INTS! pads:INTS strides:INTS"},
    "Mean": {6: "data_0+"},
    "MeanVarianceNormalization": {9: "X; axes:INTS"},
    "Min": {6: "data_0+"},
    "Mish": {18: "X"},
    "Mod": {10: "A B; fmod:INT"},
    "Mul": {7: "A B"},
    "Multinomial": {7: "input; dtype:INT sample_size:INT seed:FLOAT"},
    "Neg": {6: "X"},
    "NonMaxSuppression": {10: "boxes scores max_output_boxes_per_class? iou_threshold? score_threshold?; center_point_box:INT"},
    "NonZero": {9: "X"},
    "Not": {1: "X"},
    "OneHot": {9: "indices depth values; axis:INT"},
    "Optional": {15: "input?; type:TYPE_PROTO"},
    "OptionalGetElement": {15: "input"},
    "OptionalHasElement": {15: "input", 18: "input?"},
    "Or": {7: "A B"},
    "PRelu": {7: "X slope"},
    "Pad": {
        2: "data; mode:STRING pads:INTS! value:FLOAT",
        11: "data pads constant_value?; mode:STRING",
        18: "data pads constant_value? axes?; mode:STRING",
    },
    "Pow": {7: "X Y"},
    "QLinearConv": {
        10: "x x_scale x_zero_point w w_scale w_zero_point y_scale y_zero_point B?; auto_pad:STRING dilations:INTS group:INT "
            "kernel_shape:INTS pads:INTS strides:INTS",
    },
    "QLinearMatMul": {10: "a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point"},
    "QuantizeLinear": {
        10: "x y_scale y_zero_point?",
        13: "x y_scale y_zero_point?; axis:INT",
        19: "x y_scale y_zero_point?; axis:INT saturate:INT",
        21: "x y_scale y_zero_point?; axis:INT block_size:INT output_dtype:INT saturate:INT",
        23: "x y_scale y_zero_point?; axis:INT block_size:INT output_dtype:INT precision:INT saturate:INT",
    },
    "RMSNormalization": {23: "X scale; axis:INT epsilon:FLOAT stash_type:INT"},
    "RNN": {
        7: "X W R B? sequence_lens? initial_h?; activation_alpha:FLOATS activation_beta:FLOATS activations:STRINGS clip:FLOAT "
           "direction:STRING hidden_size:INT; 2",
        14: "X W R B? sequence_lens? initial_h?; activation_alpha:FLOATS activation_beta:FLOATS activations:STRINGS clip:FLOAT "
            "direction:STRING hidden_size:INT layout:INT; 2",
    },
    "RandomNormal": {1: "; dtype:INT mean:FLOAT scale:FLOAT seed:FLOAT shape:INTS!"},
    "RandomNormalLike": {1: "input; dtype:INT mean:FLOAT scale:FLOAT seed:FLOAT"},
    "RandomUniform": {1: "; dtype:INT high:FLOAT low:FLOAT seed:FLOAT shape:INTS!"},
    "RandomUniformLike": {1: "input; dtype:INT high:FLOAT low:FLOAT seed:FLOAT"},
    "Range": {11: "start limit delta", 27: "start limit delta; stash_type:INT"},
    "Reciprocal": {6: "X"},
    "ReduceL1": {1: "data; axes:INTS keepdims:INT", 18: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "ReduceL2": {1: "data; axes:INTS keepdims:INT", 18: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "ReduceLogSum": {1: "data; axes:INTS keepdims:INT", 18: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "ReduceLogSumExp": {1: "data; axes:INTS keepdims:INT", 18: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "ReduceMax": {1: "data; axes:INTS keepdims:INT", 18: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "ReduceMean": {1: "data; axes:INTS keepdims:INT", 18: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "ReduceMin": {1: "data; axes:INTS keepdims:INT", 18: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "ReduceProd": {1: "data; axes:INTS keepdims:INT", 18: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "ReduceSum": {1: "data; axes:INTS keepdims:INT", 13: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "ReduceSumSquare": {1: "data; axes:INTS keepdims:INT", 18: "data axes?; keepdims:INT noop_with_empty_axes:INT"},
    "Relu": {6: "X"},
    "Reshape": {5: "data shape", 14: "data shape; allowzero:INT"},
    "Resize": {
        10: "X scales; mode:STRING",
        11: "X roi scales sizes?; coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT exclude_outside:INT extrapolation_value:FLOAT"
            " mode:STRING nearest_mode:STRING",
        13: "X roi? scales? sizes?; coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT exclude_outside:INT "
            "extrapolation_value:FLOAT mode:STRING nearest_mode:STRING",
        18: "X roi? scales? sizes?; antialias:INT axes:INTS coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT exclude_outside:INT"
            " extrapolation_value:FLOAT keep_aspect_ratio_policy:STRING mode:STRING nearest_mode:STRING",
    },
    "RoiAlign": {
        10: "X rois batch_indices; mode:STRING output_height:INT output_width:INT sampling_ratio:INT spatial_scale:FLOAT",
        16: "X rois batch_indices; coordinate_transformation_mode:STRING mode:STRING output_height:INT output_width:INT "
            "sampling_ratio:INT spatial_scale:FLOAT",
    },
    "Round": {11: "X"},
    "STFT": {17: "signal frame_step window? frame_length?; onesided:INT"},
    "Scan": {
        8: "sequence_lens? initial_state_and_scan_inputs+; body:GRAPH! directions:INTS num_scan_inputs:INT!; many",
        9: "initial_state_and_scan_inputs+; body:GRAPH! num_scan_inputs:INT! scan_input_axes:INTS scan_input_directions:INTS "
           "scan_output_axes:INTS scan_output_directions:INTS; many",
    },
    "Scatter": {9: "data indices updates; axis:INT", 11: "data indices updates; axis:INT; 1; withdrawn"},
    "ScatterElements": {11: "data indices updates; axis:INT", 16: "data indices updates; axis:INT reduction:STRING"},
    "ScatterND": {11: "data indices updates", 16: "data indices updates; reduction:STRING"},
    "Selu": {6: "X; alpha:FLOAT gamma:FLOAT"},
    "SequenceAt": {11: "input_sequence position"},
    "SequenceConstruct": {11: "inputs+"},
    "SequenceEmpty": {11: "; dtype:INT"},
    "SequenceErase": {11: "input_sequence position?"},
    "SequenceInsert": {11: "input_sequence tensor position?"},
    "SequenceLength": {11: "input_sequence"},
    "Shape": {1: "data", 15: "data; end:INT start:INT"},
    "Shrink": {9: "input; bias:FLOAT lambd:FLOAT"},
    "Sigmoid": {6: "X"},
    "Sign": {9: "input"},
    "Sin": {7: "input"},
    "Sinh": {9: "input"},
    "Size": {1: "data"},
    "Slice": {1: "data; axes:INTS ends:INTS! starts:INTS!", 10: "data starts ends axes? steps?"},
    "Softmax": {1: "input; axis:INT"},
    "Softplus": {1: "X"},
    "Softsign": {1: "input"},
    "SpaceToDepth": {1: "input; blocksize:INT!", 28: "input; blocksize:INT! mode:STRING"},
    "Split": {
        2: "input; axis:INT split:INTS; many",
        13: "input split?; axis:INT; many",
        18: "input split?; axis:INT num_outputs:INT; many",
    },
    "SplitToSequence": {11: "input split?; axis:INT keepdims:INT"},
    "Sqrt": {6: "X"},
    "Squeeze": {1: "data; axes:INTS", 13: "data axes?"},
    "Sub": {7: "A B"},
    "Sum": {6: "data_0+"},
    "Swish": {24: "X; alpha:FLOAT"},
    "Tan": {7: "input"},
    "Tanh": {6: "input"},
    "ThresholdedRelu": {10: "X; alpha:FLOAT"},
    "Tile": {6: "input repeats"},
    "TopK": {1: "X; axis:INT k:INT!; 2", 10: "X K; axis:INT; 2", 11: "X K; axis:INT largest:INT sorted:INT; 2"},
    "Transpose": {1: "data; perm:INTS"},
    "Trilu": {14: "input k?; upper:INT"},
    "Unique": {11: "X; axis:INT sorted:INT; 4"},
    "Unsqueeze": {1: "data; axes:INTS!", 13: "data axes"},
    "Upsample": {7: "X; mode:STRING scales:FLOATS!", 9: "X scales; mode:STRING", 10: "X scales; mode:STRING; 1; withdrawn"},
    "Where": {9: "condition X Y"},
    "Xor": {7: "A B"},
}
