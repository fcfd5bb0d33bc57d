/* Sums of sixteen lanes, and bytes of them: what dot_avx512.h and dot_avx512_vnni.h share. */
typedef __m512i v_i32;

static inline v_i32 v_sums_zero(void) { return _mm512_setzero_si512(); }
static inline v_i32 v_add_sums(v_i32 a, v_i32 b) { return _mm512_add_epi32(a, b); }
static inline v_i32 v_load_sums_tail(const int32_t *p, size_t n) { return _mm512_maskz_loadu_epi32(v_lanes_below(n), p); }
static inline void v_store_sums_tail(int32_t *p, v_i32 s, size_t n) { _mm512_mask_storeu_epi32(p, v_lanes_below(n), s); }
static inline v_f32 v_float_of(v_i32 s) { return _mm512_cvtepi32_ps(s); }
static inline v_i32 v_sums_set1(int32_t x) { return _mm512_set1_epi32(x); }
static inline void v_store_bytes_tail(uint8_t *p, v_f32 x, v_i32 z, size_t n)
{
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(x), z));
    if (n == V_LEN)
        _mm_storeu_si128((__m128i *)p, bytes);
    else
        _mm_mask_storeu_epi8(p, v_lanes_below(n), bytes);
}
