/* The vector vocabulary for AVX2 + FMA: 8 lanes. scalar.h defines each word. */
#ifndef FC_SIMD_H
#define FC_SIMD_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define V_LEN 8
#define V_REGISTERS 16
typedef __m256 v_f32;
typedef __m256 v_low;
typedef __m256 v_mask;
typedef __m256i v_index;

static inline __m256i v_lanes_below(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline v_f32 v_zero(void) { return _mm256_setzero_ps(); }
static inline v_f32 v_set1(float x) { return _mm256_set1_ps(x); }
static inline v_f32 v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, v_f32 x) { _mm256_storeu_ps(p, x); }
static inline v_f32 v_load_tail(const float *p, size_t n) { return _mm256_maskload_ps(p, v_lanes_below(n)); }
/* By the bits of n: a store with a mask takes 12 to 20 cycles on AMD's Zen 2 and 3. */
static inline void v_store_tail(float *p, v_f32 x, size_t n)
{
    if (n >= V_LEN) {
        v_store(p, x);
        return;
    }
    __m128 part = _mm256_castps256_ps128(x);
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(x, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1)
        _mm_store_ss(p, part);
}
static inline v_f32 v_add(v_f32 a, v_f32 b) { return _mm256_add_ps(a, b); }
static inline v_f32 v_sub(v_f32 a, v_f32 b) { return _mm256_sub_ps(a, b); }
static inline v_f32 v_mul(v_f32 a, v_f32 b) { return _mm256_mul_ps(a, b); }
static inline v_f32 v_div(v_f32 a, v_f32 b) { return _mm256_div_ps(a, b); }
static inline v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c) { return _mm256_fmadd_ps(a, b, c); }
static inline v_low v_low_load(const float *p) { return _mm256_loadu_ps(p); }
static inline v_low v_low_fma(v_low a, v_low b, v_low c) { return _mm256_fmadd_ps(a, b, c); }
static inline v_low v_lower(v_f32 x) { return x; }
static inline v_low v_upper(v_f32 x) { return x; }
static inline v_f32 v_widen(v_low x) { return x; }
static inline v_f32 v_paste(v_low a, v_low b) { (void)b; return a; }
static inline v_f32 v_max(v_f32 a, v_f32 b) { return _mm256_max_ps(a, b); }
static inline v_f32 v_min(v_f32 a, v_f32 b) { return _mm256_min_ps(a, b); }
static inline v_f32 v_abs(v_f32 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline v_f32 v_neg(v_f32 a) { return _mm256_xor_ps(_mm256_set1_ps(-0.0f), a); }
static inline v_f32 v_sqrt(v_f32 a) { return _mm256_sqrt_ps(a); }
static inline v_f32 v_round(v_f32 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline v_f32 v_floor(v_f32 a) { return _mm256_floor_ps(a); }
static inline v_f32 v_ceil(v_f32 a) { return _mm256_ceil_ps(a); }
static inline v_f32 v_copysign(v_f32 magnitude, v_f32 sign)
{
    const __m256 top = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(top, magnitude), _mm256_and_ps(top, sign));
}
static inline v_mask v_lt(v_f32 a, v_f32 b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline v_mask v_le(v_f32 a, v_f32 b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
static inline v_mask v_eq(v_f32 a, v_f32 b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline v_mask v_isnan(v_f32 a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
static inline v_mask v_first(size_t n) { return _mm256_castsi256_ps(v_lanes_below(n)); }
static inline v_f32 v_select(v_mask m, v_f32 a, v_f32 b) { return _mm256_blendv_ps(b, a, m); }

static inline float v_rsum(v_f32 a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float v_rmax(v_f32 a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

static inline float v_rmin(v_f32 a)
{
    return -v_rmax(v_neg(a));
}

static inline v_f32 v_pow2(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

static inline v_f32 v_scale2(v_f32 x, v_f32 n)
{
    const __m256i k = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(k, 1);
    return _mm256_mul_ps(_mm256_mul_ps(x, v_pow2(half)), v_pow2(_mm256_sub_epi32(k, half)));
}

/* 2^(i/8) less i << 20, what the shift adds of the low bits; permutations look at these alone. */
enum { V_ROOTS = 8 };
static inline v_f32 v_two_to(v_f32 t)
{
    const __m256i roots = _mm256_setr_epi32(0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7);
    const __m256i k = _mm256_castps_si256(t);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(k, 20), _mm256_permutevar8x32_epi32(roots, k)));
}

static inline v_f32 v_exponent(v_f32 x)
{
    const __m256i e = _mm256_srli_epi32(_mm256_castps_si256(x), 23);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(e, _mm256_set1_epi32(127)));
}

static inline v_f32 v_mantissa(v_f32 x)
{
    const __m256i bits = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x007fffff));
    return _mm256_castsi256_ps(_mm256_or_si256(bits, _mm256_set1_epi32(0x3f800000)));
}

static inline v_f32 v_reciprocal(v_f32 a) { return _mm256_div_ps(_mm256_set1_ps(1.0f), a); }

static inline void v_transpose(v_f32 r[V_LEN])
{
    v_f32 t[V_LEN];
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        const v_f32 low = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
        r[i] = low;
    }
}

static inline v_f32 v_keep(v_f32 x)
{
    __asm__("" : "+x"(x));
    return x;
}

static inline v_index v_rotation(size_t width)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), low = _mm256_set1_epi32((int)width - 1);
    const __m256i next = _mm256_and_si256(low, _mm256_add_epi32(lane, _mm256_set1_epi32(1)));
    return _mm256_or_si256(_mm256_andnot_si256(low, lane), next);
}

static inline v_f32 v_permute(v_f32 x, v_index i) { return _mm256_permutevar8x32_ps(x, i); }

/* Bit 3 of an index says which of the two: at the sign, where blendv looks. */
static inline v_index v_load_index(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline v_f32 v_pick(v_f32 a, v_f32 b, v_index i)
{
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(a, i), _mm256_permutevar8x32_ps(b, i), _mm256_castsi256_ps(_mm256_slli_epi32(i, 28)));
}

static inline v_index v_sliding(int n) { return _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(n)); }

static inline v_f32 v_set1_two(const float *p)
{
    double two;
    memcpy(&two, p, sizeof two);
    return _mm256_castpd_ps(_mm256_set1_pd(two));
}

static inline v_f32 v_zip(v_f32 a, v_f32 b, int i, int j)
{
    const __m256i spread = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    const v_f32 x = _mm256_permutevar8x32_ps(a, _mm256_add_epi32(spread, _mm256_set1_epi32(4 * i)));
    return _mm256_blend_ps(x, _mm256_permutevar8x32_ps(b, _mm256_add_epi32(spread, _mm256_set1_epi32(4 * j))), 0xaa);
}

static inline v_f32 v_unzip(v_f32 a, v_f32 b, int i, int j)
{
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    const v_f32 x = _mm256_permutevar8x32_ps(a, _mm256_add_epi32(even, _mm256_set1_epi32(i)));
    return _mm256_blend_ps(x, _mm256_permutevar8x32_ps(b, _mm256_add_epi32(even, _mm256_set1_epi32(j))), 0xf0);
}

static inline v_f32 v_load_even(const float *p)
{
    const __m256 pairs = _mm256_shuffle_ps(v_load(p), v_load(p + V_LEN), 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(pairs), 0xd8));
}

/* Picks lane index[i] of a, b or c; the blend masks say which of the three. */
#define V_PICK3(a, b, c, index, from_b, from_c) \
    _mm256_blend_ps(_mm256_blend_ps(_mm256_permutevar8x32_ps(a, index), _mm256_permutevar8x32_ps(b, index), from_b), \
                    _mm256_permutevar8x32_ps(c, index), from_c)

static inline void v_load3(const float *p, v_f32 *a, v_f32 *b, v_f32 *c)
{
    const v_f32 x = v_load(p), y = v_load(p + V_LEN), z = v_load(p + 2 * V_LEN);
    *a = V_PICK3(x, y, z, _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5), 0x38, 0xc0);
    *b = V_PICK3(x, y, z, _mm256_setr_epi32(1, 4, 7, 2, 5, 0, 3, 6), 0x18, 0xe0);
    *c = V_PICK3(x, y, z, _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7), 0x1c, 0xe0);
}

static inline void v_store3(float *p, v_f32 a, v_f32 b, v_f32 c)
{
    v_store(p, V_PICK3(a, b, c, _mm256_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2), 0x92, 0x24));
    v_store(p + V_LEN, V_PICK3(a, b, c, _mm256_setr_epi32(2, 3, 3, 3, 4, 4, 4, 5), 0x24, 0x49));
    v_store(p + 2 * V_LEN, V_PICK3(a, b, c, _mm256_setr_epi32(5, 5, 6, 6, 6, 7, 7, 7), 0x49, 0x92));
}

static inline v_f32 v_load_half(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline void v_store_half(uint16_t *p, v_f32 x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
static inline v_f32 v_load_bfloat(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
static inline v_f32 v_load_u8(const uint8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p))); }
static inline v_f32 v_load_i8(const int8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))); }
static inline v_f32 v_load_i32(const int32_t *p) { return _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline v_f32 v_load_i64(const int64_t *p)
{
    float x[V_LEN];
    for (int i = 0; i < V_LEN; i++)
        x[i] = (float)p[i];
    return v_load(x);
}
static inline void v_store_i32(int32_t *p, v_f32 x) { _mm256_storeu_si256((__m256i *)p, _mm256_cvttps_epi32(x)); }
static inline void v_store_i64(int64_t *p, v_f32 x)
{
    float lanes[V_LEN];
    v_store(lanes, x);
    for (int i = 0; i < V_LEN; i++)
        p[i] = _mm_cvttss_si64(_mm_load_ss(lanes + i));
}
static inline void v_store_eight(uint8_t *p, __m256i x)   /* of eight numbers below 256 */
{
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}
static inline void v_store_low_byte(uint8_t *p, v_f32 x)
{
    v_store_eight(p, _mm256_and_si256(_mm256_cvttps_epi32(x), _mm256_set1_epi32(255)));
}
static inline void v_store_bool(uint8_t *p, v_f32 x)
{
    v_store_eight(p, _mm256_srli_epi32(_mm256_castps_si256(_mm256_cmp_ps(x, v_zero(), _CMP_NEQ_UQ)), 31));
}
static inline v_f32 v_round_half(v_f32 x) { return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }
static inline v_f32 v_round_bfloat(v_f32 x)
{
    const __m256i bits = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    return v_select(v_isnan(x), x, _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32((int)0xffff0000u))));
}

#endif
