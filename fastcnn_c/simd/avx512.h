/* The vector vocabulary for AVX-512 (F, DQ, BW, VL): 16 lanes. scalar.h defines each word. */
#ifndef FC_SIMD_H
#define FC_SIMD_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define V_LEN 16
#define V_REGISTERS 32
typedef __m512 v_f32;
typedef __m256 v_low;
typedef __mmask16 v_mask;
typedef __m512i v_index;

static inline __mmask16 v_lanes_below(size_t n) { return (__mmask16)((1u << n) - 1u); }

static inline v_f32 v_zero(void) { return _mm512_setzero_ps(); }
static inline v_f32 v_set1(float x) { return _mm512_set1_ps(x); }
static inline v_f32 v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, v_f32 x) { _mm512_storeu_ps(p, x); }
static inline v_f32 v_load_tail(const float *p, size_t n) { return _mm512_maskz_loadu_ps(v_lanes_below(n), p); }
static inline void v_store_tail(float *p, v_f32 x, size_t n) { _mm512_mask_storeu_ps(p, v_lanes_below(n), x); }
static inline v_f32 v_add(v_f32 a, v_f32 b) { return _mm512_add_ps(a, b); }
static inline v_f32 v_sub(v_f32 a, v_f32 b) { return _mm512_sub_ps(a, b); }
static inline v_f32 v_mul(v_f32 a, v_f32 b) { return _mm512_mul_ps(a, b); }
static inline v_f32 v_div(v_f32 a, v_f32 b) { return _mm512_div_ps(a, b); }
static inline v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c) { return _mm512_fmadd_ps(a, b, c); }
static inline v_low v_low_load(const float *p) { return _mm256_loadu_ps(p); }
static inline v_low v_low_fma(v_low a, v_low b, v_low c) { return _mm256_fmadd_ps(a, b, c); }
static inline v_low v_lower(v_f32 x) { return _mm512_castps512_ps256(x); }
static inline v_low v_upper(v_f32 x) { return _mm512_extractf32x8_ps(x, 1); }
static inline v_f32 v_widen(v_low x) { return _mm512_castps256_ps512(x); }
static inline v_f32 v_paste(v_low a, v_low b) { return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1); }
static inline v_f32 v_max(v_f32 a, v_f32 b) { return _mm512_max_ps(a, b); }
static inline v_f32 v_min(v_f32 a, v_f32 b) { return _mm512_min_ps(a, b); }
static inline v_f32 v_abs(v_f32 a) { return _mm512_abs_ps(a); }
static inline v_f32 v_neg(v_f32 a) { return _mm512_xor_ps(_mm512_set1_ps(-0.0f), a); }
static inline v_f32 v_sqrt(v_f32 a) { return _mm512_sqrt_ps(a); }
static inline v_f32 v_round(v_f32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline v_f32 v_floor(v_f32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
static inline v_f32 v_ceil(v_f32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
static inline v_f32 v_copysign(v_f32 magnitude, v_f32 sign)
{
    const __m512 top = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(top, magnitude), _mm512_and_ps(top, sign));
}
static inline v_mask v_lt(v_f32 a, v_f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline v_mask v_le(v_f32 a, v_f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline v_mask v_eq(v_f32 a, v_f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline v_mask v_isnan(v_f32 a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
static inline v_mask v_first(size_t n) { return v_lanes_below(n); }
static inline v_f32 v_select(v_mask m, v_f32 a, v_f32 b) { return _mm512_mask_blend_ps(m, b, a); }
static inline float v_rsum(v_f32 a) { return _mm512_reduce_add_ps(a); }
static inline float v_rmax(v_f32 a) { return _mm512_reduce_max_ps(a); }
static inline float v_rmin(v_f32 a) { return _mm512_reduce_min_ps(a); }
static inline v_f32 v_scale2(v_f32 x, v_f32 n) { return _mm512_scalef_ps(x, n); }
static inline v_f32 v_exponent(v_f32 x) { return _mm512_getexp_ps(x); }
static inline v_f32 v_mantissa(v_f32 x) { return _mm512_getmant_ps(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src); }

enum { V_ROOTS = 32 };
static inline v_f32 v_two_to(v_f32 t)
{
    /* 2^(j/32), less the bits that the shift leaves of j */
    const __m512i low = _mm512_setr_epi32(0x3f800000, 0x3f7ecd87, 0x3f7daac3, 0x3f7c980f, 0x3f7b95c2, 0x3f7aa43a, 0x3f79c3d3, 0x3f78f4f0,
                                          0x3f7837f0, 0x3f778d3a, 0x3f76f532, 0x3f767043, 0x3f75fed7, 0x3f75a15b, 0x3f75583f, 0x3f7523f6);
    const __m512i high = _mm512_setr_epi32(0x3f7504f3, 0x3f74fbaf, 0x3f7508a4, 0x3f752c4d, 0x3f75672a, 0x3f75b9be, 0x3f76248c, 0x3f76a81e,
                                           0x3f7744fd, 0x3f77fbb8, 0x3f78ccdf, 0x3f79b907, 0x3f7ac0c7, 0x3f7be4ba, 0x3f7d257d, 0x3f7e83b3);
    const __m512i k = _mm512_castps_si512(t);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_permutex2var_epi32(low, k, high), _mm512_slli_epi32(k, 18)));
}

/* 2^-14 of the approximation squared by one Newton step: within one ulp for normal a and 1/a, a sixth of a division. */
static inline v_f32 v_reciprocal(v_f32 a)
{
    const v_f32 y = _mm512_rcp14_ps(a);
    return _mm512_fmadd_ps(y, _mm512_fnmadd_ps(a, y, _mm512_set1_ps(1.0f)), y);
}

static inline void v_transpose(v_f32 r[V_LEN])
{
    v_f32 t[V_LEN];
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int k = 0; k < 4; k++) {
        t[k] = _mm512_shuffle_f32x4(r[k], r[4 + k], 0x88);
        t[4 + k] = _mm512_shuffle_f32x4(r[k], r[4 + k], 0xdd);
        t[8 + k] = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0x88);
        t[12 + k] = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0xdd);
    }
    for (int k = 0; k < 4; k++) {
        r[k] = _mm512_shuffle_f32x4(t[k], t[8 + k], 0x88);
        r[8 + k] = _mm512_shuffle_f32x4(t[k], t[8 + k], 0xdd);
        r[4 + k] = _mm512_shuffle_f32x4(t[4 + k], t[12 + k], 0x88);
        r[12 + k] = _mm512_shuffle_f32x4(t[4 + k], t[12 + k], 0xdd);
    }
}

static inline v_f32 v_keep(v_f32 x)
{
    __asm__("" : "+v"(x));
    return x;
}

static inline v_index v_rotation(size_t width)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), low = _mm512_set1_epi32((int)width - 1);
    const __m512i next = _mm512_and_si512(low, _mm512_add_epi32(lane, _mm512_set1_epi32(1)));
    return _mm512_or_si512(_mm512_andnot_si512(low, lane), next);
}

static inline v_f32 v_permute(v_f32 x, v_index i) { return _mm512_permutexvar_ps(i, x); }

static inline v_index v_load_index(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline v_f32 v_pick(v_f32 a, v_f32 b, v_index i) { return _mm512_permutex2var_ps(a, i, b); }

static inline v_index v_sliding(int n)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(lane, _mm512_set1_epi32(n));
}

static inline v_f32 v_set1_two(const float *p)
{
    double two;
    memcpy(&two, p, sizeof two);
    return _mm512_castpd_ps(_mm512_set1_pd(two));
}

static inline v_f32 v_zip(v_f32 a, v_f32 b, int i, int j)
{
    const __m512i spread = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i half = _mm512_set1_epi64(8 * (int64_t)i | (int64_t)(8 * j) << 32);
    return _mm512_permutex2var_ps(a, _mm512_add_epi32(spread, half), b);
}

static inline v_f32 v_unzip(v_f32 a, v_f32 b, int i, int j)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(i, i, i, i, i, i, i, i, j, j, j, j, j, j, j, j);
    return _mm512_permutex2var_ps(a, _mm512_add_epi32(even, odd), b);
}

static inline v_f32 v_load_even(const float *p)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(v_load(p), even, v_load(p + V_LEN));
}

/* Two permutations: first from a and b, then the lanes of c into the gaps. */
static inline v_f32 v_pick3(v_f32 a, v_f32 b, v_f32 c, __m512i from_ab, __m512i with_c)
{
    return _mm512_permutex2var_ps(_mm512_permutex2var_ps(a, from_ab, b), with_c, c);
}

static inline void v_load3(const float *p, v_f32 *a, v_f32 *b, v_f32 *c)
{
    const v_f32 x = v_load(p), y = v_load(p + V_LEN), z = v_load(p + 2 * V_LEN);
    *a = v_pick3(x, y, z, _mm512_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0),
                 _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29));
    *b = v_pick3(x, y, z, _mm512_setr_epi32(1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0),
                 _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30));
    *c = v_pick3(x, y, z, _mm512_setr_epi32(2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0),
                 _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31));
}

static inline void v_store3(float *p, v_f32 a, v_f32 b, v_f32 c)
{
    v_store(p, v_pick3(a, b, c, _mm512_setr_epi32(0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5),
                              _mm512_setr_epi32(0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15)));
    v_store(p + V_LEN, v_pick3(a, b, c, _mm512_setr_epi32(21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26),
                              _mm512_setr_epi32(0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15)));
    v_store(p + 2 * V_LEN, v_pick3(a, b, c, _mm512_setr_epi32(0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0),
                              _mm512_setr_epi32(26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31)));
}

static inline v_f32 v_load_half(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline void v_store_half(uint16_t *p, v_f32 x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
static inline v_f32 v_load_bfloat(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
static inline v_f32 v_load_u8(const uint8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p))); }
static inline v_f32 v_load_i8(const int8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p))); }
static inline v_f32 v_load_i32(const int32_t *p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }
static inline v_f32 v_load_i64(const int64_t *p)
{
    const __m256 low = _mm512_cvtepi64_ps(_mm512_loadu_si512(p)), high = _mm512_cvtepi64_ps(_mm512_loadu_si512(p + 8));
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}
static inline void v_store_i32(int32_t *p, v_f32 x) { _mm512_storeu_si512(p, _mm512_cvttps_epi32(x)); }
static inline void v_store_i64(int64_t *p, v_f32 x)
{
    _mm512_storeu_si512(p, _mm512_cvttps_epi64(_mm512_castps512_ps256(x)));
    _mm512_storeu_si512(p + 8, _mm512_cvttps_epi64(_mm512_extractf32x8_ps(x, 1)));
}
static inline void v_store_low_byte(uint8_t *p, v_f32 x) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(x))); }
static inline void v_store_bool(uint8_t *p, v_f32 x)
{
    _mm_storeu_si128((__m128i *)p, _mm_maskz_set1_epi8(_mm512_cmp_ps_mask(x, v_zero(), _CMP_NEQ_UQ), 1));
}
static inline v_f32 v_round_half(v_f32 x) { return _mm512_cvtph_ps(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }
static inline v_f32 v_round_bfloat(v_f32 x)
{
    const __m512i bits = _mm512_castps_si512(x), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    return v_select(v_isnan(x), x, _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32((int)0xffff0000u))));
}

#endif
