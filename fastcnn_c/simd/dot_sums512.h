/* Sums of sixteen lanes, and bytes of them: what dot_avx512.h and dot_avx512_vnni.h share. */
typedef __m512i v_i32;

static inline v_i32 v_load_sums(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline void v_store_sums(int32_t *p, v_i32 s) { _mm512_storeu_si512(p, s); }
static inline v_i32 v_add_sums(v_i32 a, v_i32 b) { return _mm512_add_epi32(a, b); }
static inline v_i32 v_load_sums_tail(const int32_t *p, size_t n) { return _mm512_maskz_loadu_epi32(v_lanes_below(n), p); }
static inline void v_store_sums_tail(int32_t *p, v_i32 s, size_t n) { _mm512_mask_storeu_epi32(p, v_lanes_below(n), s); }
static inline v_f32 v_float_of(v_i32 s) { return _mm512_cvtepi32_ps(s); }
static inline v_i32 v_sums_set1(int32_t x) { return _mm512_set1_epi32(x); }
static inline v_i32 v_sub_sums(v_i32 a, v_i32 b) { return _mm512_sub_epi32(a, b); }
/* One shuffle puts the bytes where 2^23 + byte has them in its bits. of: 2^23 + z; spread: where they are, for the compiler to keep. */
typedef struct v_point { __m512 of; __mmask64 spread; } v_point;
static inline v_point v_point_of(int32_t z)
{
    v_point point = {_mm512_set1_ps(0x1p23f + (float)z), 0x1111111111111111};
    __asm__("" : "+k"(point.spread));
    return point;
}
static inline v_f32 v_less(const uint8_t *p, size_t n, v_point z)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i bytes = n == V_LEN ? _mm_loadu_si128((const __m128i *)p) : _mm_maskz_loadu_epi8(v_lanes_below(n), p);
    const __m512i bits = _mm512_mask_shuffle_epi8(_mm512_set1_epi32(0x4b000000), z.spread, _mm512_broadcast_i32x4(bytes), lane);
    return _mm512_sub_ps(_mm512_castsi512_ps(bits), z.of);
}
static inline v_f32 v_float_of_whole(v_i32 s) { return _mm512_sub_ps(_mm512_castsi512_ps(s), _mm512_set1_ps(0x1.8p23f)); }
static inline v_i32 v_whole(v_f32 x) { return _mm512_castps_si512(_mm512_add_ps(x, _mm512_set1_ps(0x1.8p23f))); }
static inline v_f32 v_bound(float x) { return _mm512_set1_ps(x + 0x1.8p23f); }
static inline v_i32 v_bounded(v_i32 s, v_f32 lo, v_f32 hi)
{
    return _mm512_castps_si512(_mm512_min_ps(_mm512_max_ps(_mm512_castsi512_ps(s), lo), hi));
}
static inline v_i32 v_byte_of(v_i32 s, int j) { return _mm512_and_si512(_mm512_srli_epi32(s, (unsigned)(8 * j)), _mm512_set1_epi32(255)); }
static inline v_i32 v_saturate(v_f32 x, int32_t z)
{
    const __m512i i = _mm512_add_epi32(_mm512_max_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(-1024)), _mm512_set1_epi32(z));
    return _mm512_min_epi32(_mm512_max_epi32(i, _mm512_setzero_si512()), _mm512_set1_epi32(255));
}
static inline v_i32 v_join(v_i32 a, v_i32 b, v_i32 c, v_i32 d)
{
    return _mm512_or_si512(_mm512_or_si512(a, _mm512_slli_epi32(b, 8)), _mm512_or_si512(_mm512_slli_epi32(c, 16), _mm512_slli_epi32(d, 24)));
}
static inline v_i32 v_gather_sums(const uint8_t *p, size_t d)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_i32gather_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32((int)d)), p, 1);
}
/* Two corrections by the remainder, the second of which rounds as a division does: P. Markstein, IBM Journal of R&D 34, 1990. */
static inline v_f32 v_quotient(v_f32 x, v_f32 d, v_f32 r)
{
    const v_f32 q = _mm512_mul_ps(x, r), near = _mm512_fmadd_ps(_mm512_fnmadd_ps(q, d, x), r, q);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(near, d, x), r, near);
}

typedef __m512i v_bytes;
static inline __mmask64 v_bytes_below(size_t n) { return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1; }
static inline v_bytes v_load_bytes(const uint8_t *p, size_t n)
{
    return n == 4 * V_LEN ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8(v_bytes_below(n), p);
}
static inline void v_store_bytes(uint8_t *p, v_bytes b, size_t n)
{
    if (n == 4 * V_LEN)
        _mm512_storeu_si512(p, b);
    else
        _mm512_mask_storeu_epi8(p, v_bytes_below(n), b);
}
static inline v_bytes v_pack_lanes(const v_f32 x[4], int32_t z)
{
    const __m512i zero = _mm512_set1_epi16((short)z);
    const __m512i low = _mm512_packs_epi32(_mm512_cvtps_epi32(x[0]), _mm512_cvtps_epi32(x[1]));
    const __m512i high = _mm512_packs_epi32(_mm512_cvtps_epi32(x[2]), _mm512_cvtps_epi32(x[3]));
    return _mm512_packus_epi16(_mm512_adds_epi16(low, zero), _mm512_adds_epi16(high, zero));
}
static inline v_bytes v_pack_bytes(const v_f32 x[4], int32_t z)
{
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v_pack_lanes(x, z));
}
/* As v_pack_bytes where |x| < 2^30: the zero point is added to 32 bits. Saturating sums of 16 bits would wait for the multipliers (Zen 4). */
static inline v_bytes v_pack_near(const v_f32 x[4], int32_t z)
{
    const __m512i zero = _mm512_set1_epi32(z);
    const __m512i low = _mm512_packs_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(x[0]), zero), _mm512_add_epi32(_mm512_cvtps_epi32(x[1]), zero));
    const __m512i high = _mm512_packs_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(x[2]), zero), _mm512_add_epi32(_mm512_cvtps_epi32(x[3]), zero));
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), _mm512_packus_epi16(low, high));
}
typedef struct v_zero_point { __m512i of; int any; } v_zero_point;
static inline v_zero_point v_zero_of(int32_t z) { return (v_zero_point){_mm512_set1_epi16((short)z), z != 0}; }
static inline v_bytes v_pack_nearer(const v_f32 x[4], v_zero_point z)
{
    __m512i low = _mm512_packs_epi32(_mm512_cvtps_epi32(x[0]), _mm512_cvtps_epi32(x[1]));
    __m512i high = _mm512_packs_epi32(_mm512_cvtps_epi32(x[2]), _mm512_cvtps_epi32(x[3]));
    if (z.any) {
        low = _mm512_add_epi16(low, z.of);
        high = _mm512_add_epi16(high, z.of);
    }
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), _mm512_packus_epi16(low, high));
}
/* Half k of the bytes. */
static inline void v_store_bytes_half(uint8_t *p, v_bytes b, int k)
{
    _mm256_storeu_si256((__m256i *)p, k ? _mm512_extracti64x4_epi64(b, 1) : _mm512_castsi512_si256(b));
}
static inline v_bytes v_clamp_bytes(v_bytes b, int32_t lo, int32_t hi)
{
    return _mm512_min_epu8(_mm512_max_epu8(b, _mm512_set1_epi8((char)lo)), _mm512_set1_epi8((char)hi));
}
static inline void v_store_part(uint8_t *p, v_bytes b, int k, int parts, size_t n)
{
    const __mmask64 lanes = v_bytes_below(n);
    if (parts == 1)
        _mm512_mask_storeu_epi8(p, lanes, b);
    else if (parts == 2)
        _mm256_mask_storeu_epi8(p, (__mmask32)lanes, k ? _mm512_extracti64x4_epi64(b, 1) : _mm512_castsi512_si256(b));
    else
        _mm_mask_storeu_epi8(p, (__mmask16)lanes, k == 0 ? _mm512_castsi512_si128(b) : k == 1 ? _mm512_extracti32x4_epi32(b, 1)
                                                  : k == 2 ? _mm512_extracti32x4_epi32(b, 2) : _mm512_extracti32x4_epi32(b, 3));
}
static inline v_bytes v_no_bytes(void) { return _mm512_setzero_si512(); }
static inline v_bytes v_max_bytes(v_bytes a, v_bytes b) { return _mm512_max_epu8(a, b); }
static inline void v_interleave(const v_bytes r[4], v_i32 q[4])
{
    const __m512i low = _mm512_unpacklo_epi8(r[0], r[1]), high = _mm512_unpackhi_epi8(r[0], r[1]);
    const __m512i low2 = _mm512_unpacklo_epi8(r[2], r[3]), high2 = _mm512_unpackhi_epi8(r[2], r[3]);
    q[0] = _mm512_unpacklo_epi16(low, low2);
    q[1] = _mm512_unpackhi_epi16(low, low2);
    q[2] = _mm512_unpacklo_epi16(high, high2);
    q[3] = _mm512_unpackhi_epi16(high, high2);
}
static inline v_bytes v_load_parts(const uint8_t *p, size_t d, int parts, size_t n)
{
    const __mmask64 lanes = v_bytes_below(n);
    if (parts == 1)
        return v_load_bytes(p, n);
    if (parts == 2)
        return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi8((__mmask32)lanes, p)),
                                  _mm256_maskz_loadu_epi8((__mmask32)lanes, p + d), 1);
    __m512i x = _mm512_castsi128_si512(_mm_maskz_loadu_epi8((__mmask16)lanes, p));
    x = _mm512_inserti32x4(x, _mm_maskz_loadu_epi8((__mmask16)lanes, p + d), 1);
    x = _mm512_inserti32x4(x, _mm_maskz_loadu_epi8((__mmask16)lanes, p + 2 * d), 2);
    return _mm512_inserti32x4(x, _mm_maskz_loadu_epi8((__mmask16)lanes, p + 3 * d), 3);
}
