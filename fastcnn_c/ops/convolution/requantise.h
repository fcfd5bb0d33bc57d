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

/* Factors below this times 32-bit sums stay below 2^29. */
#define FC_BOUNDED 0.25f

/* The largest magnitude, by the bits, whose order is that of magnitudes; not a number where one is none. */
static inline float fc_most_of(const float *factor, int64_t n)
{
    int32_t most = 0;
    float found;
    for (int64_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, factor + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    memcpy(&found, &most, sizeof most);
    return found;
}

static inline int fc_is_bounded(const float *factor, int64_t n) { return fc_most_of(factor, n) < FC_BOUNDED; }

#endif
