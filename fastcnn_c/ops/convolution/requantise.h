/* Bounds of results that steps of 8-bit values hand to their kernels. */
#ifndef FC_REQUANTISE_H
#define FC_REQUANTISE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of bytes for bounds lo and hi of what is rounded: rounding keeps the order. */
static inline int32_t fc_byte_lo(float lo, int64_t zero) { return (int32_t)fmaxf(0.0f, nearbyintf(lo) + (float)zero); }
static inline int32_t fc_byte_hi(float hi, int64_t zero) { return (int32_t)fminf(255.0f, nearbyintf(hi) + (float)zero); }

/* Whether 32-bit sums times these factors stay below 2^31. */
static inline int fc_is_bounded(const float *factor, int64_t n)
{
    int above = 0;
    for (int64_t i = 0; i < n; i++)
        above |= !(factor[i] < 1.0f && factor[i] > -1.0f);
    return !above;
}

#endif
