/* Four lanes at a time where a vector has one: by the vectors that every x86 processor has, elsewhere one by one.
 *
 *   v_whole_four(x, lo, hi)   x[i] within lo..hi, to the nearest integer, halves to even, i < 4; the bounds are integers less than 2^22 from 0
 *   v_quads_four       quads of four columns      v_load_quads_four(p)
 *   v_sums_four        their sums                 v_no_sums_four()
 *   v_dot_four(s, a, b)       adds to each column what v_dot does with the four unsigned values at a
 *   v_store_sums_four(p, s, q)     p[i] = the sum of column i + q[i]
 */
#ifdef __SSE2__
#include <emmintrin.h>

static inline void v_whole_four(v_f32 x[4], float lo, float hi)
{
    const __m128 ones = _mm_set1_ps(0x1.8p23f), within = _mm_min_ps(_mm_set1_ps(hi), _mm_max_ps(_mm_set1_ps(lo), _mm_setr_ps(x[0], x[1], x[2], x[3])));
    const __m128 whole = _mm_sub_ps(_mm_add_ps(within, ones), ones);
    x[0] = _mm_cvtss_f32(whole);
    x[1] = _mm_cvtss_f32(_mm_shuffle_ps(whole, whole, 1));
    x[2] = _mm_cvtss_f32(_mm_movehl_ps(whole, whole));
    x[3] = _mm_cvtss_f32(_mm_shuffle_ps(whole, whole, 3));
}

/* As 16 bits; of columns 0 and 1, of 2 and 3. Of each column two sums: of values 0 and 1 of every quad, of 2 and 3. */
typedef struct v_quads_four { __m128i of[2]; } v_quads_four;
typedef struct v_sums_four { __m128i of[2]; } v_sums_four;

static inline v_quads_four v_load_quads_four(const int8_t *p)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (v_quads_four){{_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8), _mm_srai_epi16(_mm_unpackhi_epi8(bytes, bytes), 8)}};
}
static inline v_sums_four v_no_sums_four(void) { return (v_sums_four){{_mm_setzero_si128(), _mm_setzero_si128()}}; }
static inline v_sums_four v_dot_four(v_sums_four s, const uint8_t *a, v_quads_four b)
{
    int32_t word;
    memcpy(&word, a, 4);
    const __m128i four = _mm_unpacklo_epi8(_mm_cvtsi32_si128(word), _mm_setzero_si128()), twice = _mm_unpacklo_epi64(four, four);
    return (v_sums_four){{_mm_add_epi32(s.of[0], _mm_madd_epi16(twice, b.of[0])), _mm_add_epi32(s.of[1], _mm_madd_epi16(twice, b.of[1]))}};
}
static inline void v_store_sums_four(int32_t *p, v_sums_four s, const int32_t *q)
{
    const __m128 x = _mm_castsi128_ps(s.of[0]), y = _mm_castsi128_ps(s.of[1]);
    const __m128i even = _mm_castps_si128(_mm_shuffle_ps(x, y, _MM_SHUFFLE(2, 0, 2, 0)));
    const __m128i odd = _mm_castps_si128(_mm_shuffle_ps(x, y, _MM_SHUFFLE(3, 1, 3, 1)));
    _mm_storeu_si128((__m128i *)(void *)p, _mm_add_epi32(_mm_add_epi32(even, odd), _mm_loadu_si128((const __m128i *)(const void *)q)));
}
#else
static inline void v_whole_four(v_f32 x[4], float lo, float hi)
{
    for (int i = 0; i < 4; i++)
        x[i] = (v_min(hi, v_max(lo, x[i])) + 0x1.8p23f) - 0x1.8p23f;
}

typedef struct v_quads_four { int8_t of[16]; } v_quads_four;
typedef struct v_sums_four { uint32_t of[4]; } v_sums_four;

static inline v_quads_four v_load_quads_four(const int8_t *p) { v_quads_four q; memcpy(q.of, p, 16); return q; }
static inline v_sums_four v_no_sums_four(void) { return (v_sums_four){{0, 0, 0, 0}}; }
static inline v_sums_four v_dot_four(v_sums_four s, const uint8_t *a, v_quads_four b)
{
    for (int i = 0; i < 16; i++)
        s.of[i / 4] += (uint32_t)(a[i % 4] * b.of[i]);
    return s;
}
static inline void v_store_sums_four(int32_t *p, v_sums_four s, const int32_t *q)
{
    for (int i = 0; i < 4; i++)
        p[i] = (int32_t)(s.of[i] + (uint32_t)q[i]);
}
#endif
