/* Lookups of bytes with AVX-512 BW, as lookup_avx2.h makes them. lookup_scalar.h defines each word. */
typedef struct v_table { __m512i step[16]; } v_table;

static inline v_table v_load_table(const uint8_t *p)
{
    v_table t;
    __m128i before = _mm_setzero_si128();
    for (int k = 0; k < 16; k++) {
        const __m128i line = _mm_loadu_si128((const __m128i *)p + k);
        t.step[k] = _mm512_broadcast_i32x4(k == 8 ? line : _mm_xor_si128(line, before));
        before = line;
    }
    return t;
}

static inline __m512i v_lookup_half(const __m512i *step, __m512i at)
{
    __m512i y = _mm512_setzero_si512();
    for (int k = 0; k < 8; k++) {
        y = _mm512_xor_si512(y, _mm512_shuffle_epi8(step[k], at));
        at = _mm512_subs_epi8(at, _mm512_set1_epi8(16));
    }
    return y;
}

static inline v_bytes v_lookup(const v_table *t, v_bytes b)
{
    return _mm512_xor_si512(v_lookup_half(t->step, b), v_lookup_half(t->step + 8, _mm512_xor_si512(b, _mm512_set1_epi8(-128))));
}

typedef struct v_values { __m512i part[8]; } v_values;

static inline v_values v_load_values(const int16_t *p)
{
    v_values t;
    for (int k = 0; k < 8; k++)
        t.part[k] = _mm512_loadu_si512((const void *)(p + 32 * k));
    return t;
}

/* a in the low halves of words, b in the high ones. A permutation of two registers has 64 entries and looks at 6 bits of an index. */
static inline void v_find_two(const v_values *t, v_f32 *a, v_f32 *b)
{
    const __m512i *part = t->part, at = _mm512_mask_blend_epi16(0xAAAAAAAAu, _mm512_cvtps_epi32(*a), _mm512_slli_epi32(_mm512_cvtps_epi32(*b), 16));
    const __mmask32 second = _mm512_test_epi16_mask(at, _mm512_set1_epi16(64)), upper = _mm512_test_epi16_mask(at, _mm512_set1_epi16(128));
    const __m512i low = _mm512_mask_blend_epi16(second, _mm512_permutex2var_epi16(part[0], at, part[1]), _mm512_permutex2var_epi16(part[2], at, part[3]));
    const __m512i high = _mm512_mask_blend_epi16(second, _mm512_permutex2var_epi16(part[4], at, part[5]), _mm512_permutex2var_epi16(part[6], at, part[7]));
    const __m512i found = _mm512_mask_blend_epi16(upper, low, high);
    *a = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(found, 16), 16));
    *b = _mm512_cvtepi32_ps(_mm512_srai_epi32(found, 16));
}
