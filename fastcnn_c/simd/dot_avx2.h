/* 8-bit dot products with AVX2: products of 16-bit numbers, summed in pairs to 32 bits, which is exact. dot_scalar.h defines each word. */
#include "dot_sums256.h"

/* Bytes 0 and 2 of each lane, and bytes 1 and 3, as 16-bit numbers. */
typedef struct v_quads { __m256i even, odd; } v_quads;
typedef struct v_four { __m256i even, odd; } v_four;

static inline v_quads v_load_quads(const int8_t *p)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)p);
    return (v_quads){_mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), _mm256_srai_epi16(x, 8)};
}

static inline v_four v_fours_of(v_i32 x)
{
    return (v_four){_mm256_and_si256(x, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(x, 8)};
}

static inline v_four v_set1_four(const uint8_t *p)
{
    int32_t word;
    memcpy(&word, p, 4);
    return v_fours_of(_mm256_set1_epi32(word));
}

static inline v_i32 v_dot(v_i32 s, v_four a, v_quads b)
{
    s = _mm256_add_epi32(s, _mm256_madd_epi16(a.even, b.even));
    return _mm256_add_epi32(s, _mm256_madd_epi16(a.odd, b.odd));
}

static inline v_quads v_keep_quads(v_quads b) { return b; }

typedef __m256i v_pairs;

static inline v_pairs v_load_pairs(const int16_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

static inline v_pairs v_set1_pair(const uint16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, 4);
    return _mm256_set1_epi32(pair);
}

static inline v_i32 v_dot_pairs(v_i32 s, v_pairs a, v_pairs b) { return _mm256_add_epi32(s, _mm256_madd_epi16(a, b)); }

static inline void v_store_wide_quads(int16_t *first, int16_t *second, const int8_t *p)
{
    const __m256 low = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)));
    const __m256 high = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(p + 16))));
    const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88)), odd = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd));
    _mm256_storeu_si256((__m256i *)first, _mm256_permute4x64_epi64(even, 0xd8));
    _mm256_storeu_si256((__m256i *)second, _mm256_permute4x64_epi64(odd, 0xd8));
}
