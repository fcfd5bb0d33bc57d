/* C types of fc_dtype, as lists: X(FC_ name, C type). f16 is a bit pattern that half.h converts. */
#ifndef FC_DTYPES_H
#define FC_DTYPES_H

#include "fastcnn.h"

#define FC_INTEGER_DTYPES(X) \
    X(I8, int8_t) X(I16, int16_t) X(I32, int32_t) X(I64, int64_t) X(U8, uint8_t) X(U16, uint16_t) X(U32, uint32_t) X(U64, uint64_t)
#define FC_FLOAT_DTYPES(X) X(F32, float) X(F64, double)

static inline int64_t fc_dtype_bytes(int64_t dtype)
{
    static const unsigned char bytes[FC_DTYPE_COUNT] = {
        [FC_F32] = 4, [FC_F64] = 8, [FC_I8] = 1, [FC_I16] = 2, [FC_I32] = 4, [FC_I64] = 8, [FC_U8] = 1, [FC_U16] = 2,
        [FC_U32] = 4, [FC_U64] = 8, [FC_BOOL] = 1, [FC_F16] = 2};
    return bytes[dtype];
}

#endif
