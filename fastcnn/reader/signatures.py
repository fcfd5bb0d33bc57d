"""What ONNX's schemas say of the operators that plain networks are made of: reading those needs no `import onnx`, which takes 60 ms.

A test compares every line with onnx's schemas at every opset. Operators that are not here are looked up there.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastcnn.onnx_proto.attributes import Kind

# The opsets that the table is about: all operators in it are as onnx defines them at each of these.
OLDEST_OPSET, NEWEST_OPSET = 7, 28
MANY = (1 << 31) - 1


@dataclass(frozen=True)
class Signature:
    """What a schema says, as plain data: arity, positions of required inputs, (kind, required) by attribute."""

    min_inputs: int
    max_inputs: int
    max_outputs: int
    required_inputs: tuple[int, ...]
    input_names: tuple[str, ...]
    attributes: Mapping[str, tuple[Kind, bool]]
    deprecated_since: int = 0


def _of(inputs: str, attributes: str = "", outputs: int = 1) -> Signature:
    """inputs: names, optional ones with "?", one that repeats, at least once, with "+"; attributes: name:KIND, required ones with "!"."""
    formals = inputs.split()
    least = sum(not formal.endswith("?") for formal in formals)
    pairs = [attribute.split(":") for attribute in attributes.split()]
    return Signature(least, MANY if formals and formals[-1].endswith("+") else len(formals), outputs,
                     tuple(i for i, formal in enumerate(formals) if formal[-1] not in "?+"),
                     tuple(formal.rstrip("?+") for formal in formals),
                     {name: (Kind[kind.rstrip("!")], kind.endswith("!")) for name, kind in pairs})


# Operator -> the opsets that changed it -> what it is from there on; since before OLDEST_OPSET where the first is.
SIGNATURES: dict[str, dict[int, Signature]] = {
    "Add": {7: _of("A B")},
    "AveragePool": {
        7: _of("X", "auto_pad:STRING count_include_pad:INT kernel_shape:INTS! pads:INTS strides:INTS"),
        10: _of("X", "auto_pad:STRING ceil_mode:INT count_include_pad:INT kernel_shape:INTS! pads:INTS strides:INTS"),
        19: _of("X", "auto_pad:STRING ceil_mode:INT count_include_pad:INT dilations:INTS kernel_shape:INTS! pads:INTS strides:INTS"),
    },
    "BatchNormalization": {
        7: _of("X scale B mean var", "epsilon:FLOAT momentum:FLOAT spatial:INT", 5),
        9: _of("X scale B mean var", "epsilon:FLOAT momentum:FLOAT", 5),
        14: _of("X scale B input_mean input_var", "epsilon:FLOAT momentum:FLOAT training_mode:INT", 3),
    },
    "Cast": {
        6: _of("input", "to:INT!"),
        19: _of("input", "saturate:INT to:INT!"),
        24: _of("input", "round_mode:STRING saturate:INT to:INT!"),
    },
    "Ceil": {6: _of("X")},
    "Clip": {6: _of("input", "max:FLOAT min:FLOAT"), 11: _of("input min? max?")},
    "Concat": {4: _of("inputs+", "axis:INT!")},
    "Constant": {
        1: _of("", "value:TENSOR!"),
        11: _of("", "sparse_value:SPARSE_TENSOR value:TENSOR"),
        12: _of("",
                "sparse_value:SPARSE_TENSOR value:TENSOR value_float:FLOAT value_floats:FLOATS value_int:INT value_ints:INTS "
                "value_string:STRING value_strings:STRINGS"),
    },
    "ConstantOfShape": {9: _of("input", "value:TENSOR")},
    "Conv": {1: _of("X W B?", "auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS pads:INTS strides:INTS")},
    "ConvTranspose": {
        1: _of("X W B?",
               "auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS output_padding:INTS output_shape:INTS pads:INTS strides:INTS"),
    },
    "DepthToSpace": {1: _of("input", "blocksize:INT!"), 11: _of("input", "blocksize:INT! mode:STRING")},
    "Div": {7: _of("A B")},
    "Dropout": {7: _of("data", "ratio:FLOAT", 2), 12: _of("data ratio? training_mode?", "seed:INT", 2)},
    "Elu": {6: _of("X", "alpha:FLOAT")},
    "Erf": {9: _of("input")},
    "Exp": {6: _of("input")},
    "Flatten": {1: _of("input", "axis:INT")},
    "Floor": {6: _of("X")},
    "Gather": {1: _of("data indices", "axis:INT")},
    "Gelu": {20: _of("X", "approximate:STRING")},
    "Gemm": {
        7: _of("A B C", "alpha:FLOAT beta:FLOAT transA:INT transB:INT"),
        11: _of("A B C?", "alpha:FLOAT beta:FLOAT transA:INT transB:INT"),
    },
    "GlobalAveragePool": {1: _of("X")},
    "GlobalMaxPool": {1: _of("X")},
    "HardSigmoid": {6: _of("X", "alpha:FLOAT beta:FLOAT")},
    "HardSwish": {14: _of("X")},
    "Identity": {1: _of("input")},
    "InstanceNormalization": {6: _of("input scale B", "epsilon:FLOAT")},
    "LRN": {1: _of("X", "alpha:FLOAT beta:FLOAT bias:FLOAT size:INT!")},
    "LayerNormalization": {17: _of("X Scale B?", "axis:INT epsilon:FLOAT stash_type:INT", 3)},
    "LeakyRelu": {6: _of("X", "alpha:FLOAT")},
    "Log": {6: _of("input")},
    "MatMul": {1: _of("A B")},
    "Max": {6: _of("data_0+")},
    "MaxPool": {
        1: _of("X", "auto_pad:STRING kernel_shape:INTS! pads:INTS strides:INTS"),
        8: _of("X", "auto_pad:STRING kernel_shape:INTS! pads:INTS storage_order:INT strides:INTS", 2),
        10: _of("X", "auto_pad:STRING ceil_mode:INT dilations:INTS kernel_shape:INTS! pads:INTS storage_order:INT strides:INTS", 2),
    },
    "Min": {6: _of("data_0+")},
    "Mish": {18: _of("X")},
    "Mul": {7: _of("A B")},
    "Neg": {6: _of("X")},
    "PRelu": {7: _of("X slope")},
    "Pad": {
        2: _of("data", "mode:STRING pads:INTS! value:FLOAT"),
        11: _of("data pads constant_value?", "mode:STRING"),
        18: _of("data pads constant_value? axes?", "mode:STRING"),
    },
    "Pow": {7: _of("X Y")},
    "ReduceMax": {1: _of("data", "axes:INTS keepdims:INT"), 18: _of("data axes?", "keepdims:INT noop_with_empty_axes:INT")},
    "ReduceMean": {1: _of("data", "axes:INTS keepdims:INT"), 18: _of("data axes?", "keepdims:INT noop_with_empty_axes:INT")},
    "ReduceSum": {1: _of("data", "axes:INTS keepdims:INT"), 13: _of("data axes?", "keepdims:INT noop_with_empty_axes:INT")},
    "Relu": {6: _of("X")},
    "Reshape": {5: _of("data shape"), 14: _of("data shape", "allowzero:INT")},
    "Resize": {
        10: _of("X scales", "mode:STRING"),
        11: _of("X roi scales sizes?",
                "coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT exclude_outside:INT extrapolation_value:FLOAT "
                "mode:STRING nearest_mode:STRING"),
        13: _of("X roi? scales? sizes?",
                "coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT exclude_outside:INT extrapolation_value:FLOAT "
                "mode:STRING nearest_mode:STRING"),
        18: _of("X roi? scales? sizes?",
                "antialias:INT axes:INTS coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT exclude_outside:INT "
                "extrapolation_value:FLOAT keep_aspect_ratio_policy:STRING mode:STRING nearest_mode:STRING"),
    },
    "Selu": {6: _of("X", "alpha:FLOAT gamma:FLOAT")},
    "Shape": {1: _of("data"), 15: _of("data", "end:INT start:INT")},
    "Sigmoid": {6: _of("X")},
    "Slice": {1: _of("data", "axes:INTS ends:INTS! starts:INTS!"), 10: _of("data starts ends axes? steps?")},
    "Softmax": {1: _of("input", "axis:INT")},
    "Softplus": {1: _of("X")},
    "SpaceToDepth": {1: _of("input", "blocksize:INT!"), 28: _of("input", "blocksize:INT! mode:STRING")},
    "Split": {
        2: _of("input", "axis:INT split:INTS", MANY),
        13: _of("input split?", "axis:INT", MANY),
        18: _of("input split?", "axis:INT num_outputs:INT", MANY),
    },
    "Sqrt": {6: _of("X")},
    "Squeeze": {1: _of("data", "axes:INTS"), 13: _of("data axes?")},
    "Sub": {7: _of("A B")},
    "Sum": {6: _of("data_0+")},
    "Tanh": {6: _of("input")},
    "Transpose": {1: _of("data", "perm:INTS")},
    "Unsqueeze": {1: _of("data", "axes:INTS!"), 13: _of("data axes")},
}
