/* The lists of elementwise functions: one row a function. Rows are named as ONNX names the operator. Read by Python through
 * _native (fc_unary_names ...), by ops/elementwise/ and by kernels/unary.inc and binary.inc.
 */
#ifndef FC_FUNCTIONS_H
#define FC_FUNCTIONS_H

/* y = f(x; alpha, beta), fp32. FC_FN_None first: the identity of epilogues. Affine and ScaledTanh: activations of recurrent layers.
 * RoundFloat16 and RoundBfloat16: to what the type can hold, as a float. RoundClip: the nearest integer within [alpha, beta], halves to
 * even; the bounds are integers, less than 2^22 from 0. RoundTwice: that within [-z, 255 - z], then times alpha, within [-t, 255 - t], where
 * beta is z + 256 t: a byte of zero point z at another scale, with zero point t. */
#define FC_UNARY_LIST(X) \
    X(None) X(Relu) X(LeakyRelu) X(Clip) X(Sigmoid) X(Tanh) X(HardSigmoid) X(HardSwish) X(Elu) X(Selu) X(Softplus) \
    X(Softsign) X(Mish) X(Gelu) X(GeluTanh) X(Swish) X(Celu) X(ThresholdedRelu) X(Shrink) \
    X(Abs) X(Neg) X(Exp) X(Log) X(Sqrt) X(Reciprocal) X(Erf) X(Floor) X(Ceil) X(Round) X(Sign) X(Sin) X(Cos) \
    X(Tan) X(Asin) X(Acos) X(Atan) X(Sinh) X(Cosh) X(Asinh) X(Acosh) X(Atanh) X(Affine) X(ScaledTanh) X(RoundFloat16) X(RoundBfloat16) \
    X(RoundClip) X(RoundTwice)

/* z = f(a, b), fp32. PRelu: a < 0 ? a * b : a. */
#define FC_BINARY_LIST(X) X(Add) X(Sub) X(Mul) X(Div) X(Max) X(Min) X(Pow) X(PRelu) X(Mod)

/* z = f(a, b) on any dtype (fp32 arithmetic has its own kernels). Comparisons and logic give bool. Pow, Mod and BitShift on integers. */
#define FC_TYPED_BINARY_LIST(X) \
    X(Add) X(Sub) X(Mul) X(Div) X(Max) X(Min) X(Pow) X(Mod) X(FMod) X(Equal) X(Less) X(LessOrEqual) X(Greater) \
    X(GreaterOrEqual) X(And) X(Or) X(Xor) X(BitwiseAnd) X(BitwiseOr) X(BitwiseXor) X(ShiftLeft) X(ShiftRight)
#define FC_TYPED_UNARY_LIST(X) X(Not) X(Abs) X(Neg) X(Sign) X(IsNaN) X(IsInf) X(BitwiseNot)
/* fp32 reductions; Mean divides by the count, L2 is sqrt of SumSquare. NaN in x is the Max and the Min; to MaxNumber, max pooling's, it is -inf. */
#define FC_REDUCE_LIST(X) X(Sum) X(Mean) X(Max) X(Min) X(Prod) X(L1) X(L2) X(SumSquare) X(LogSum) X(LogSumExp) X(MaxNumber)

#define FC_ENUM_UNARY(name) FC_FN_##name,
typedef enum fc_unary_fn { FC_UNARY_LIST(FC_ENUM_UNARY) FC_UNARY_COUNT } fc_unary_fn;
#define FC_ENUM_BINARY(name) FC_BIN_##name,
typedef enum fc_binary_fn { FC_BINARY_LIST(FC_ENUM_BINARY) FC_BINARY_COUNT } fc_binary_fn;
#define FC_ENUM_TYPED_BINARY(name) FC_TBIN_##name,
typedef enum fc_typed_binary_fn { FC_TYPED_BINARY_LIST(FC_ENUM_TYPED_BINARY) FC_TYPED_BINARY_COUNT } fc_typed_binary_fn;
#define FC_ENUM_TYPED_UNARY(name) FC_TUN_##name,
typedef enum fc_typed_unary_fn { FC_TYPED_UNARY_LIST(FC_ENUM_TYPED_UNARY) FC_TYPED_UNARY_COUNT } fc_typed_unary_fn;
#define FC_ENUM_REDUCE(name) FC_RED_##name,
typedef enum fc_reduce_fn { FC_REDUCE_LIST(FC_ENUM_REDUCE) FC_REDUCE_COUNT } fc_reduce_fn;

/* Names of each list in the order of its enum, NULL past the end: how Python finds the numbers. */
extern const char *const fc_unary_names[];
extern const char *const fc_binary_names[];
extern const char *const fc_typed_binary_names[];
extern const char *const fc_typed_unary_names[];
extern const char *const fc_reduce_names[];

#endif
