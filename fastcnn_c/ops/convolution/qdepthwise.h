/* The grouping of channels and rows in a depthwise convolution of 8-bit values, which its step and the packing of its weights share. */
#ifndef FC_QDEPTHWISE_H
#define FC_QDEPTHWISE_H

#include "kernels/kernels.h"
#include "team.h"

/* Columns that a vector holds of the next channels, where so many are left: as many as leave no vector half empty. */
static inline int fc_qdepthwise_parts(int64_t left)
{
    const int64_t v = fc_active->vector_length;
    return v == 1 || left > 3 * v ? 1 : v < 16 ? (left > 2 * v ? 1 : 2) : left > v ? 2 : 4;
}

/* Output rows computed together: two where both see no more quads of rows than one does. */
static inline int64_t fc_qdepthwise_rows(int64_t kh, int64_t sh, int64_t dh) { return dh == 1 && kh + sh <= 4 * fc_ceil_div(kh, 4) ? 2 : 1; }

/* The channel of a group whose word l of plane q holds it. */
static inline int64_t fc_qdepthwise_channel(int64_t q, int64_t l, int parts)
{
    const int64_t v = fc_active->vector_length;
    return v == 1 ? q : l / 4 % (v / 4 / parts) * 16 + 4 * q + l % 4;
}

#endif
