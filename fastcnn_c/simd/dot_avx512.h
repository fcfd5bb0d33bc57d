/* 8-bit dot products with AVX-512 BW: products of 16-bit numbers, summed in pairs to 32 bits, which is exact. dot_scalar.h defines each
 * word. */
#include "dot_sums512.h"

/* Bytes 0 and 2 of each lane, and bytes 1 and 3, as 16-bit numbers. */
typedef struct v_quads { __m512i even, odd; } v_quads;
typedef struct v_four { __m512i even, odd; } v_four;

static inline v_quads v_load_quads(const int8_t *p)
{
    const __m512i x = _mm512_loadu_si512(p);
    return (v_quads){_mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8), _mm512_srai_epi16(x, 8)};
}

static inline v_four v_fours_of(v_i32 x)
{
    return (v_four){_mm512_and_si512(x, _mm512_set1_epi16(0xff)), _mm512_srli_epi16(x, 8)};
}

static inline v_four v_set1_four(const uint8_t *p)
{
    int32_t word;
    memcpy(&word, p, 4);
    return v_fours_of(_mm512_set1_epi32(word));
}

static inline v_i32 v_dot(v_i32 s, v_four a, v_quads b)
{
    s = _mm512_add_epi32(s, _mm512_madd_epi16(a.even, b.even));
    return _mm512_add_epi32(s, _mm512_madd_epi16(a.odd, b.odd));
}

static inline v_quads v_keep_quads(v_quads b) { return b; }
