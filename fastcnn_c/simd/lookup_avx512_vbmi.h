/* Lookups of bytes with AVX-512 VBMI: two permutations of 128 entries each. lookup_scalar.h defines each word. */
typedef struct v_table { __m512i part[4]; } v_table;

static inline v_table v_load_table(const uint8_t *p)
{
    return (v_table){{_mm512_loadu_si512(p), _mm512_loadu_si512(p + 64), _mm512_loadu_si512(p + 128), _mm512_loadu_si512(p + 192)}};
}

static inline v_bytes v_lookup(const v_table *t, v_bytes b)
{
    const __m512i low = _mm512_permutex2var_epi8(t->part[0], b, t->part[1]), high = _mm512_permutex2var_epi8(t->part[2], b, t->part[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(b), low, high);
}
