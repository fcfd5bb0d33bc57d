/* Lookups of bytes with AVX2: sixteen entries at a time. lookup_scalar.h defines each word.
 *
 * Line k of a half holds what turns entries of line k - 1 into those of line k. An index in 0..127 goes through the lines, 16 less each time,
 * until it is negative and its shuffles give 0; one in 128..255 is negative from the start, and the other half's.
 */
typedef struct v_table { __m128i step[16]; } v_table;

static inline v_table v_load_table(const uint8_t *p)
{
    v_table t;
    __m128i before = _mm_setzero_si128();
    for (int k = 0; k < 16; k++) {
        const __m128i line = _mm_loadu_si128((const __m128i *)p + k);
        t.step[k] = k == 8 ? line : _mm_xor_si128(line, before);
        before = line;
    }
    return t;
}

static inline __m256i v_lookup_half(const __m128i *step, __m256i at)
{
    __m256i y = _mm256_setzero_si256();
    for (int k = 0; k < 8; k++) {
        y = _mm256_xor_si256(y, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(step + k)), at));
        at = _mm256_subs_epi8(at, _mm256_set1_epi8(16));
    }
    return y;
}

static inline v_bytes v_lookup(const v_table *t, v_bytes b)
{
    return _mm256_xor_si256(v_lookup_half(t->step, b), v_lookup_half(t->step + 8, _mm256_xor_si256(b, _mm256_set1_epi8(-128))));
}

typedef const int16_t *v_values;

static inline v_values v_load_values(const int16_t *p) { return p; }

/* Loads of four bytes, of which the first two are the entry. */
static inline __m256 v_find(const v_values *t, __m256 at)
{
    const __m256i found = _mm256_i32gather_epi32((const int *)(const void *)*t, _mm256_and_si256(_mm256_cvtps_epi32(at), _mm256_set1_epi32(255)), 2);
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(found, 16), 16));
}

static inline void v_find_two(const v_values *t, v_f32 *a, v_f32 *b)
{
    *a = v_find(t, *a);
    *b = v_find(t, *b);
}
