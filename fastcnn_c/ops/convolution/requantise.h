/* Bounds of results that steps of 8-bit values hand to their kernels. */
#ifndef FC_REQUANTISE_H
#define FC_REQUANTISE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bounds of bytes for bounds lo and hi of what is rounded: rounding keeps the order. */
static inline int32_t fc_byte_lo(float lo, int64_t zero) { return (int32_t)fmaxf(0.0f, nearbyintf(lo) + (float)zero); }
static inline int32_t fc_byte_hi(float hi, int64_t zero) { return (int32_t)fminf(255.0f, nearbyintf(hi) + (float)zero); }

/* Whether 32-bit sums times these factors stay below 2^29: a factor below 1/4 has smaller bits than 1/4, infinities and NaN have larger ones. */
static inline int fc_is_bounded(const float *factor, int64_t n)
{
    uint32_t above = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, factor + i, sizeof bits);
        above |= (bits & 0x7fffffffu) >= 0x3e800000u;
    }
    return !above;
}

#endif
