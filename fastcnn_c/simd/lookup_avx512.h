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
