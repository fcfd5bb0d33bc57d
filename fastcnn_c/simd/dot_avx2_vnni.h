/* 8-bit dot products with AVX-VNNI. dot_scalar.h defines each word. */
#include "dot_sums256.h"

typedef __m256i v_quads, v_four;

static inline v_quads v_load_quads(const int8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline v_four v_set1_four(const uint8_t *p)
{
    int32_t word;
    memcpy(&word, p, 4);
    return _mm256_set1_epi32(word);
}
static inline v_i32 v_dot(v_i32 s, v_four a, v_quads b) { return _mm256_dpbusd_avx_epi32(s, a, b); }
static inline v_four v_fours_of(v_i32 s) { return s; }
static inline v_quads v_keep_quads(v_quads b)
{
    __asm__("" : "+x"(b));
    return b;
}
