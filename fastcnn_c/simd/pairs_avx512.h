/* bfloat16 pairs with AVX-512 BF16: vdpbf16ps. pairs_scalar.h defines each word. */
#include <string.h>

typedef __m512bh v_pairs;

static inline v_pairs v_load_pairs(const uint16_t *p) { return (v_pairs)_mm512_loadu_si512(p); }

static inline v_pairs v_set1_pair(const uint8_t *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return (v_pairs)_mm512_set1_epi32(word);
}

static inline v_pairs v_set1_half(const uint8_t *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return (v_pairs)_mm512_set1_epi32(half);
}

static inline v_f32 v_dot_pairs(v_f32 s, v_pairs a, v_pairs b) { return _mm512_dpbf16_ps(s, a, b); }

typedef __m256 v_lower_lanes;

static inline v_lower_lanes v_lower_of(v_f32 x) { return _mm512_castps512_ps256(x); }
static inline v_f32 v_of_lower(v_lower_lanes x) { return _mm512_castps256_ps512(x); }

static inline v_lower_lanes v_dot_lower(v_lower_lanes s, v_pairs a, v_pairs b)
{
    return _mm256_dpbf16_ps(s, (__m256bh)_mm512_castsi512_si256((__m512i)a), (__m256bh)_mm512_castsi512_si256((__m512i)b));
}

static inline v_f32 v_load_wide(const uint16_t *p, size_t n)
{
    const __m256i half = _mm256_maskz_loadu_epi16(v_lanes_below(n), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

static inline void v_store_narrow(uint16_t *p, v_f32 x, size_t n)
{
    _mm256_mask_storeu_epi16(p, v_lanes_below(n), (__m256i)_mm512_cvtneps_pbh(x));
}
