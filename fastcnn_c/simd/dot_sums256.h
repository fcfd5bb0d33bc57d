/* Sums of eight lanes, and bytes of them: what dot_avx2.h and dot_avx2_vnni.h share. */
typedef __m256i v_i32;

static inline v_i32 v_sums_zero(void) { return _mm256_setzero_si256(); }
static inline v_i32 v_add_sums(v_i32 a, v_i32 b) { return _mm256_add_epi32(a, b); }
static inline v_i32 v_load_sums_tail(const int32_t *p, size_t n) { return _mm256_maskload_epi32(p, v_lanes_below(n)); }
static inline void v_store_sums_tail(int32_t *p, v_i32 s, size_t n) { _mm256_maskstore_epi32(p, v_lanes_below(n), s); }
static inline v_f32 v_float_of(v_i32 s) { return _mm256_cvtepi32_ps(s); }
static inline v_i32 v_sums_set1(int32_t x) { return _mm256_set1_epi32(x); }
static inline void v_store_bytes_tail(uint8_t *p, v_f32 x, v_i32 z, size_t n)
{
    const __m256i i = _mm256_add_epi32(_mm256_cvtps_epi32(x), z);
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1)), bytes = _mm_packus_epi16(words, words);
    if (n == V_LEN) {
        _mm_storel_epi64((__m128i *)p, bytes);
        return;
    }
    uint8_t all[16];
    _mm_storeu_si128((__m128i *)all, bytes);
    memcpy(p, all, n);
}
