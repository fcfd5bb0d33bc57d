/* IEEE half <-> float in integer arithmetic: the definition, for CPUs and loops without a conversion instruction. */
#ifndef FC_HALF_H
#define FC_HALF_H

#include <stdint.h>
#include <string.h>

static inline float fc_float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t fc_bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float fc_float_of_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u)   /* infinity; NaN becomes quiet */
        return fc_float_of_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13 | (rest > 0x7c00u ? 0x00400000u : 0));
    if (rest < 0x0400u) {  /* denormal: rest * 2^-24 is exact in float */
        const float magnitude = (float)rest * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return fc_float_of_bits(sign | ((rest << 13) + (112u << 23)));
}

/* Round to nearest even. */
static inline uint16_t fc_half_of_float(float x)
{
    const uint32_t bits = fc_bits_of_float(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
    if (rest >= 0x477ff000u)   /* 65520 and above */
        return (uint16_t)(sign | 0x7c00u);
    if (rest < 0x38800000u)    /* below 2^-14: adding 0.5 leaves the multiple of 2^-24 in the last bits, rounded by the FPU */
        return (uint16_t)(sign | (fc_bits_of_float(fc_float_of_bits(rest) + 0.5f) - 0x3f000000u));
    return (uint16_t)(sign | (rest + 0xfffu + (rest >> 13 & 1u) - (112u << 23)) >> 13);
}

/* The nearest bfloat16, the even one of two, as a float: the upper 16 bits. */
static inline float fc_bfloat_of_float(float x)
{
    const uint32_t bits = fc_bits_of_float(x);
    return x != x ? x : fc_float_of_bits((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}

#endif
