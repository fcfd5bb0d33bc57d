"""The element types that ONNX's operators take and give, at every opset: a copy of its schemas, since importing onnx takes 60 ms.

A test compares every line with onnx's schemas. Operators that are not here are looked up there.
"""
from __future__ import annotations

# One letter a tensor's element type; "[" stands for any sequence and "~" for any optional of such tensors.
LETTERS = {
    "?": "bool", "b": "int8", "s": "int16", "i": "int32", "l": "int64", "B": "uint8", "S": "uint16", "I": "uint32", "L": "uint64",
    "h": "float16", "f": "float", "d": "double", "g": "bfloat16", "o": "string", "c": "complex64", "C": "complex128",
    "p": "float8e4m3fn", "q": "float8e4m3fnuz", "r": "float8e5m2", "t": "float8e5m2fnuz", "n": "int4", "N": "uint4", "m": "float4e2m1",
    "e": "float8e8m0", "k": "int2", "M": "uint2", "x": "float6e2m3", "y": "float6e3m2",
}

# The opsets of ONNX's own domain that the table is about.
NEWEST_TYPED = 28

# Operator -> "since signature | types; since types; ...". A signature has the type variable of each formal input and output, or "=" and
# the letter of the one type there is; inputs marked "*" may differ from each other. After it come the letters of each variable in the order
# in which they first appear. An entry without a signature keeps that of the entry before.
ELEMENT_TYPES = {
    "Abs": "1 T > T | hfd; 6 bsilBSILhfd; 13 bsilBSILhfdg",
    "Acos": "7 T > T | hfd; 22 hfdg",
    "Acosh": "9 T > T | hfd; 22 hfdg",
    "Add": "1 T T > T | hfd; 6 ilILhfd; 13 ilILhfdg; 14 bsilBSILhfdg",
    "AffineGrid": "20 T1 T2 > T1 | hfdg l",
    "And": "1 T T > T1 | ? ?",
    "ArgMax": "1 T > =l | bsilBSILhfd; 13 bsilBSILhfdg",
    "ArgMin": "1 T > =l | bsilBSILhfd; 13 bsilBSILhfdg",
    "Asin": "7 T > T | hfd; 22 hfdg",
    "Asinh": "9 T > T | hfd; 22 hfdg",
    "Atan": "7 T > T | hfd; 22 hfdg",
    "Atanh": "9 T > T | hfd; 22 hfdg",
    "AveragePool": "1 T > T | hfd; 22 hfdg",
    "BatchNormalization":
        "1 T T T T T > T T T T T | hfd; 14 T T T U U > T U U | hfdg hfdg; 15 T T1 T1 T2 T2 > T T2 T2 | hfdg hfdg hfdg",
    "Bernoulli": "15 T1 > T2 | hfd ?bsilBSILhfdg; 22 hfdg ?bsilBSILhfdg",
    "BitShift": "11 T T > T | BSIL; 28 bsilBSIL",
    "BitwiseAnd": "18 T T > T | bsilBSIL",
    "BitwiseNot": "18 T > T | bsilBSIL",
    "BitwiseOr": "18 T T > T | bsilBSIL",
    "BitwiseXor": "18 T T > T | bsilBSIL",
    "Cast":
        "1 T1 > T2 | ?bsilBSILhfd ?bsilBSILhfd; 9 ?bsilBSILhfdo ?bsilBSILhfdo; 13 ?bsilBSILhfdgo ?bsilBSILhfdgo; "
        "19 ?bsilBSILhfdgopqrt ?bsilBSILhfdgopqrt; 21 ?bsilBSILhfdgopqrtnN ?bsilBSILhfdgopqrtnN; "
        "23 ?bsilBSILhfdgopqrtnNm ?bsilBSILhfdgopqrtnNm; 24 ?bsilBSILhfdgopqrtnNme ?bsilBSILhfdgopqrtnNme; "
        "25 ?bsilBSILhfdgopqrtnNmekM ?bsilBSILhfdgopqrtnNmekM; 28 ?bsilBSILhfdgopqrtnNmekMxy ?bsilBSILhfdgopqrtnNmekMxy",
    "CastLike":
        "15 T1 T2 > T2 | ?bsilBSILhfdgo ?bsilBSILhfdgo; 19 ?bsilBSILhfdgopqrt ?bsilBSILhfdgopqrt; "
        "21 ?bsilBSILhfdgopqrtnN ?bsilBSILhfdgopqrtnN; 23 ?bsilBSILhfdgopqrtnNm ?bsilBSILhfdgopqrtnNm; "
        "24 ?bsilBSILhfdgopqrtnNme ?bsilBSILhfdgopqrtnNme; 25 ?bsilBSILhfdgopqrtnNmekM ?bsilBSILhfdgopqrtnNmekM",
    "Ceil": "1 T > T | hfd; 13 hfdg",
    "Celu": "12 T > T | f; 28 hfdg",
    "CenterCropPad": "18 T Tind > T | ?bsilBSILhfdgocC il",
    "Clip": "1 T > T | hfd; 11 T T T > T | hfd; 12 bsilBSILhfd; 13 bsilBSILhfdg",
    "Col2Im": "18 T =l =l > T | ?bsilBSILhfdgocC",
    "Compress": "9 T T1 > T | ?bsilBSILhfdocC ?; 28 ?bsilBSILhfdgocC ?",
    "Concat": "1 T > T | hfd; 4 ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC",
    "Constant":
        "1  > T | hfd; 9 ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC; 19 ?bsilBSILhfdgocCpqrt; 21 ?bsilBSILhfdgocCpqrtnN; "
        "23 ?bsilBSILhfdgocCpqrtnNm; 24 ?bsilBSILhfdgocCpqrtnNme; 25 ?bsilBSILhfdgocCpqrtnNmekM",
    "ConstantOfShape":
        "9 T1 > T2 | l ?bsilBSILhfd; 20 l ?bsilBSILhfdgpqrt; 21 l ?bsilBSILhfdgpqrtnN; 23 l ?bsilBSILhfdgpqrtnNm; "
        "24 l ?bsilBSILhfdgpqrtnNme; 25 l ?bsilBSILhfdgpqrtnNmekM",
    "Conv": "1 T T T > T | hfd; 22 hfdg",
    "ConvInteger": "10 T1 T2 T1 T2 > T3 | bB bB i",
    "ConvTranspose": "1 T T T > T | hfd; 22 hfdg",
    "Cos": "7 T > T | hfd; 22 hfdg",
    "Cosh": "9 T > T | hfd; 22 hfdg",
    "CumProd": "26 T T2 > T | ilILhfdg il",
    "CumSum": "11 T T2 > T | ilILfd il; 14 ilILhfdg il",
    "DFT": "17 T1 T2 > T1 | hfdg il; 20 T1 T2 =l > T1 | hfdg il",
    "DeformConv": "19 T T T T T > T | hfd; 22 hfdg",
    "DepthToSpace": "1 T > T | ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC",
    "DequantizeLinear":
        "10 T =f T > =f | biB; 13 biB; 19 T1 T2 T1 > T2 | biBpqrt hfg; 21 bsiBSpqrtnN hfg; 23 T1 T2 T1 > T3 | bsiBSpqrtnNm hfg hfg; "
        "24 bsiBSpqrtnNm hfge hfg; 25 bsiBSpqrtnNmkM hfge hfg; 28 bsiBSpqrtnNmkMxy hfge hfg",
    "Det": "11 T > T | hfd; 22 hfdg",
    "Div": "1 T T > T | hfd; 6 ilILhfd; 13 ilILhfdg; 14 bsilBSILhfdg",
    "Dropout": "1 T > T T | hfd; 10 T > T T1 | hfd ?; 12 T T1 T2 > T T2 | hfd hfd ?; 13 hfdg hfd ?; 22 hfdgpqrt hfdgpqrt ?",
    "DynamicQuantizeLinear": "11 T1 > T2 =f T2 | f B",
    "Einsum": "12 T > T | bsilBSILhfd; 28 bsilBSILhfdg",
    "Elu": "1 T > T | hfd; 22 hfdg",
    "Equal": "1 T T > T1 | ?il ?; 11 ?bsilBSILhfd ?; 13 ?bsilBSILhfdg ?; 19 ?bsilBSILhfdgo ?",
    "Erf": "9 T > T | bsilBSILhfd; 13 hfdg",
    "Exp": "1 T > T | hfd; 13 hfdg",
    "Expand": "8 T =l > T | ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC",
    "EyeLike": "9 T1 > T2 | ?bsilBSILhfd ?bsilBSILhfd; 22 ?bsilBSILhfdg ?bsilBSILhfdg",
    "Flatten":
        "1 T > T | hfd; 9 ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC; 21 ?bsilBSILhfdgocCpqrtnN; 23 ?bsilBSILhfdgocCpqrtnNm; "
        "24 ?bsilBSILhfdgocCpqrtnNme; 25 ?bsilBSILhfdgocCpqrtnNmekM",
    "Floor": "1 T > T | hfd; 13 hfdg",
    "GRU": "1 T T T T T1 T > T T | hfd i; 22 hfdg i",
    "Gather": "1 T Tind > T | ?bsilBSILhfdocC il; 13 ?bsilBSILhfdgocC il",
    "GatherElements": "11 T Tind > T | ?bsilBSILhfdocC il; 13 ?bsilBSILhfdgocC il",
    "GatherND": "11 T =l > T | ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC",
    "Gelu": "20 T > T | hfdg",
    "Gemm": "1 T T T > T | hfd; 9 ilILhfd; 13 ilILhfdg",
    "GlobalAveragePool": "1 T > T | hfd; 22 hfdg",
    "GlobalLpPool": "1 T > T | hfd; 22 hfdg",
    "GlobalMaxPool": "1 T > T | hfd; 22 hfdg",
    "Greater": "1 T T > T1 | hfd ?; 9 bsilBSILhfd ?; 13 bsilBSILhfdg ?",
    "GreaterOrEqual": "12 T T > T1 | bsilBSILhfd ?; 16 bsilBSILhfdg ?",
    "GridSample": "16 T1 T2 > T1 | ?bsilBSILhfdocC hfd; 22 ?bsilBSILhfdgocC hfdg",
    "GroupNormalization": "18 T T T > T | hfdg",
    "HammingWindow": "17 T1 > T2 | il bsilBSILhfdg",
    "HannWindow": "17 T1 > T2 | il bsilBSILhfdg",
    "HardSigmoid": "1 T > T | hfd; 22 hfdg",
    "HardSwish": "14 T > T | hfd; 22 hfdg",
    "Hardmax": "1 T > T | hfd; 13 hfdg",
    "Identity":
        "1 T > T | ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC; 14 V > V | ?bsilBSILhfdgocC[; 16 ?bsilBSILhfdgocC[~; "
        "19 ?bsilBSILhfdgocCpqrt[~; 21 ?bsilBSILhfdgocCpqrtnN[~; 23 ?bsilBSILhfdgocCpqrtnNm[~; 24 ?bsilBSILhfdgocCpqrtnNme[~; "
        "25 ?bsilBSILhfdgocCpqrtnNmekM[~",
    "InstanceNormalization": "1 T T T > T | hfd; 22 hfdg",
    "IsInf": "10 T1 > T2 | fd ?; 20 hfdgpqrt ?",
    "IsNaN": "9 T1 > T2 | hfd ?; 13 hfdg ?; 20 hfdgpqrt ?",
    "LRN": "1 T > T | hfd; 13 hfdg",
    "LSTM": "1 T T T T T1 T T T > T T T | hfd i; 22 hfdg i",
    "LayerNormalization": "17 T T T > T U U | hfdg fg",
    "LeakyRelu": "1 T > T | hfd; 16 hfdg",
    "Less": "1 T T > T1 | hfd ?; 9 bsilBSILhfd ?; 13 bsilBSILhfdg ?",
    "LessOrEqual": "12 T T > T1 | bsilBSILhfd ?; 16 bsilBSILhfdg ?",
    "Log": "1 T > T | hfd; 13 hfdg",
    "LogSoftmax": "1 T > T | hfd; 13 hfdg",
    "LpNormalization": "1 T > T | hfd; 22 hfdg",
    "LpPool": "1 T > T | hfd; 22 hfdg",
    "MatMul": "1 T T > T | hfd; 9 ilILhfd; 13 ilILhfdg",
    "MatMulInteger": "10 T1 T2 T1 T2 > T3 | bB bB i",
    "Max": "1 T > T | hfd; 12 bsilBSILhfd; 13 bsilBSILhfdg",
    "MaxPool": "1 T > T | hfd; 8 T > T I | hfd l; 12 bBhfd l; 22 bBhfdg l",
    "MaxRoiPool": "1 T T > T | hfd; 22 hfdg",
    "MaxUnpool": "9 T1 T2 T2 > T1 | hfd l; 22 hfdg l",
    "Mean": "1 T > T | hfd; 13 hfdg",
    "MeanVarianceNormalization": "9 T > T | hfd; 13 hfdg",
    "MelWeightMatrix": "17 T1 T1 T1 T2 T2 > T3 | il hfdg bsilBSILhfdg",
    "Min": "1 T > T | hfd; 12 bsilBSILhfd; 13 bsilBSILhfdg",
    "Mish": "18 T > T | hfd; 22 hfdg",
    "Mod": "10 T T > T | bsilBSILhfd; 13 bsilBSILhfdg",
    "Mul": "1 T T > T | hfd; 6 ilILhfd; 13 ilILhfdg; 14 bsilBSILhfdg",
    "Multinomial": "7 T1 > T2 | hfd il; 22 hfdg il",
    "Neg": "1 T > T | hfd; 6 bsilhfd; 13 bsilhfdg",
    "NonMaxSuppression": "10 =f =f =l =f =f > =l |",
    "NonZero": "9 T > =l | ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC",
    "Not": "1 T > T | ?",
    "OneHot": "9 T1 T2 T3 > T3 | bsilBSILhfd bsilBSILhfd ?bsilBSILhfdocC; 28 bsilBSILhfd bsilBSILhfd ?bsilBSILhfdgocC",
    "Or": "1 T T > T1 | ? ?",
    "PRelu": "1 T T > T | hfd; 9 ilILhfd; 16 ilILhfdg",
    "Pad":
        "1 T > T | hfd; 11 T =l T > T | bsilBSILhfd; 13 ?bsilBSILhfdgocC; 18 T =l T Tind > T | ?bsilBSILhfdgocC il; "
        "21 ?bsilBSILhfdgocCpqrtnN il; 23 ?bsilBSILhfdgocCpqrtnNm il; 24 ?bsilBSILhfdgocCpqrtnNme il; "
        "25 ?bsilBSILhfdgocCpqrtnNmekM il",
    "Pow": "1 T T > T | hfd; 12 T T1 > T | ilhfd bsilBSILhfd; 13 ilhfdg bsilBSILhfd; 15 ilhfdg bsilBSILhfdg",
    "QLinearConv": "10 T1 =f T1 T2 =f T2 =f T3 T4 > T3 | bB bB bB i",
    "QLinearMatMul": "10 T1 =f T1 T2 =f T2 =f T3 > T3 | bB bB bB; 21 T1 TS T1 T2 TS T2 TS T3 > T3 | bBpqrt hfg bBpqrt bBpqrt",
    "QuantizeLinear":
        "10 T1 =f T2 > T2 | if bB; 13 if bB; 19 T1 T1 T2 > T2 | ihfg bBpqrt; 21 ihfg bsBSpqrtnN; "
        "23 T1 T2 T3 > T3 | ihfg ihfg bsBSpqrtnNm; 24 ihfg ihfge bsBSpqrtnNm; 25 ihfg ihfge bsBSpqrtnNmkM; "
        "28 ihfg ihfge bsBSpqrtnNmkMxy",
    "RMSNormalization": "23 T V > V | hfdg hfdg",
    "RNN": "1 T T T T T1 T > T T | hfd i; 22 hfdg i",
    "RandomNormal": "1  > T | hfd; 22 hfdg",
    "RandomNormalLike": "1 T1 > T2 | ?bsilBSILhfdocC hfd; 22 ?bsilBSILhfdgocC hfdg",
    "RandomUniform": "1  > T | hfd; 22 hfdg",
    "RandomUniformLike": "1 T1 > T2 | ?bsilBSILhfdocC hfd; 22 ?bsilBSILhfdgocC hfdg",
    "Range": "11 T T T > T | silfd; 27 silhfdg",
    "Reciprocal": "1 T > T | hfd; 13 hfdg",
    "ReduceL1": "1 T > T | ilILhfd; 13 ilILhfdg; 18 T =l > T | ilILhfdg",
    "ReduceL2": "1 T > T | ilILhfd; 13 ilILhfdg; 18 T =l > T | ilILhfdg",
    "ReduceLogSum": "1 T > T | ilILhfd; 13 ilILhfdg; 18 T =l > T | ilILhfdg; 28 hfdg",
    "ReduceLogSumExp": "1 T > T | ilILhfd; 13 ilILhfdg; 18 T =l > T | ilILhfdg; 28 hfdg",
    "ReduceMax": "1 T > T | ilILhfd; 12 bilBILhfd; 13 bilBILhfdg; 18 T =l > T | bilBILhfdg; 20 ?bilBILhfdg",
    "ReduceMean": "1 T > T | ilILhfd; 13 ilILhfdg; 18 T =l > T | ilILhfdg",
    "ReduceMin": "1 T > T | ilILhfd; 12 bilBILhfd; 13 bilBILhfdg; 18 T =l > T | bilBILhfdg; 20 ?bilBILhfdg",
    "ReduceProd": "1 T > T | ilILhfd; 13 ilILhfdg; 18 T =l > T | ilILhfdg",
    "ReduceSum": "1 T > T | ilILhfd; 13 T =l > T | ilILhfdg",
    "ReduceSumSquare": "1 T > T | ilILhfd; 13 ilILhfdg; 18 T =l > T | ilILhfdg",
    "Relu": "1 T > T | hfd; 13 hfdg; 14 bsilhfdg",
    "Reshape":
        "1 T > T | hfd; 5 T =l > T | ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC; 19 ?bsilBSILhfdgocCpqrt; 21 ?bsilBSILhfdgocCpqrtnN; "
        "23 ?bsilBSILhfdgocCpqrtnNm; 24 ?bsilBSILhfdgocCpqrtnNme; 25 ?bsilBSILhfdgocCpqrtnNmekM",
    "Resize": "10 T =f > T | ?bsilBSILhfdocC; 11 T1 T2 =f =l > T1 | ?bsilBSILhfdocC hfd; 13 ?bsilBSILhfdgocC hfd",
    "ReverseSequence": "10 T =l > T | ?bsilBSILhfdocC; 28 ?bsilBSILhfdgocC",
    "RoiAlign": "10 T1 T1 T2 > T1 | hfd l; 22 hfdg l",
    "RotaryEmbedding": "23 T T T M > T | hfg l",
    "Round": "11 T > T | hfd; 22 hfdg",
    "STFT": "17 T1 T2 T1 T2 > T1 | hfdg il",
    "Scatter": "9 T Tind T > T | ?bsilBSILhfdocC il",
    "ScatterElements": "11 T Tind T > T | ?bsilBSILhfdocC il; 13 ?bsilBSILhfdgocC il",
    "ScatterND": "11 T =l T > T | ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC",
    "Selu": "1 T > T | hfd; 22 hfdg",
    "Shape":
        "1 T > T1 | ?bsilBSILhfdocC l; 13 ?bsilBSILhfdgocC l; 19 ?bsilBSILhfdgocCpqrt l; 21 ?bsilBSILhfdgocCpqrtnN l; "
        "23 ?bsilBSILhfdgocCpqrtnNm l; 24 ?bsilBSILhfdgocCpqrtnNme l; 25 ?bsilBSILhfdgocCpqrtnNmekM l",
    "Shrink": "9 T > T | bsilBSILhfd",
    "Sigmoid": "1 T > T | hfd; 13 hfdg",
    "Sign": "9 T > T | bsilBSILhfd; 13 bsilBSILhfdg",
    "Sin": "7 T > T | hfd; 22 hfdg",
    "Sinh": "9 T > T | hfd; 22 hfdg",
    "Size":
        "1 T > T1 | ?bsilBSILhfdocC l; 13 ?bsilBSILhfdgocC l; 19 ?bsilBSILhfdgocCpqrt l; 21 ?bsilBSILhfdgocCpqrtnN l; "
        "23 ?bsilBSILhfdgocCpqrtnNm l; 24 ?bsilBSILhfdgocCpqrtnNme l; 25 ?bsilBSILhfdgocCpqrtnNmekM l",
    "Slice": "1 T > T | ?bsilBSILhfdocC; 10 T Tind Tind Tind Tind > T | ?bsilBSILhfdocC il; 13 ?bsilBSILhfdgocC il",
    "Softmax": "1 T > T | hfd; 13 hfdg",
    "Softplus": "1 T > T | hfd; 22 hfdg",
    "Softsign": "1 T > T | hfd; 22 hfdg",
    "SpaceToDepth": "1 T > T | ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC",
    "Split": "1 T T > T | hfd; 2 T > T | ?bsilBSILhfdocC; 13 T =l > T | ?bsilBSILhfdgocC",
    "Sqrt": "1 T > T | hfd; 13 hfdg",
    "Squeeze":
        "1 T > T | ?bsilBSILhfdocC; 13 T =l > T | ?bsilBSILhfdgocC; 21 ?bsilBSILhfdgocCpqrtnN; 23 ?bsilBSILhfdgocCpqrtnNm; "
        "24 ?bsilBSILhfdgocCpqrtnNme; 25 ?bsilBSILhfdgocCpqrtnNmekM",
    "Sub": "1 T T > T | hfd; 6 ilILhfd; 13 ilILhfdg; 14 bsilBSILhfdg",
    "Sum": "1 T > T | hfd; 13 hfdg",
    "Swish": "24 T > T | hfdg",
    "Tan": "7 T > T | hfd; 22 hfdg",
    "Tanh": "1 T > T | hfd; 13 hfdg",
    "ThresholdedRelu": "10 T > T | hfd; 22 hfdg",
    "Tile": "1 T T T > T | hfd; 6 T T1 > T | ?bsilBSILhfdocC l; 13 ?bsilBSILhfdgocC l",
    "TopK": "1 T > T I | hfd l; 10 T =l > T I | hfd l; 11 bsilBSILhfd l; 24 bsilBSILhfdg l",
    "Transpose":
        "1 T > T | ?bsilBSILhfdocC; 13 ?bsilBSILhfdgocC; 21 ?bsilBSILhfdgocCpqrtnN; 23 ?bsilBSILhfdgocCpqrtnNm; "
        "24 ?bsilBSILhfdgocCpqrtnNme; 25 ?bsilBSILhfdgocCpqrtnNmekM",
    "Trilu": "14 T =l > T | ?bsilBSILhfdgocC",
    "Unique": "11 T > T =l =l =l | ?bsilBSILhfdocC; 28 ?bsilBSILhfdgocC",
    "Unsqueeze":
        "1 T > T | ?bsilBSILhfdocC; 13 T =l > T | ?bsilBSILhfdgocC; 21 ?bsilBSILhfdgocCpqrtnN; 23 ?bsilBSILhfdgocCpqrtnNm; "
        "24 ?bsilBSILhfdgocCpqrtnNme; 25 ?bsilBSILhfdgocCpqrtnNmekM",
    "Upsample": "1 T > T | ?ilhfd; 7 ?bsilBSILhfdocC; 9 T =f > T | ?bsilBSILhfdocC",
    "Where": "9 B T T > T | ? ?bsilBSILhfdocC; 16 ? ?bsilBSILhfdgocC",
    "Xor": "1 T T > T1 | ? ?",
}
