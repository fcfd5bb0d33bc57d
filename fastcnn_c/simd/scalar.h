/* The vector vocabulary with one lane: the definition of every word. avx2.h and avx512.h say the same with more lanes.
 *
 *   V_REGISTERS      vector registers there are
 *   v_f32            V_LEN floats           v_mask           one truth value a lane
 *   v_load/store     unaligned              v_load_tail(p,n) lanes < n from p, the rest 0; touches p[0..n) only; 0 <= n <= V_LEN
 *   v_fma(a,b,c)     a*b + c, one rounding (two in this file where the CPU has no FMA: the compiler decides)
 *   v_low            V_LEN/2 floats, where half a vector takes half the time of a whole one; elsewhere a vector, and none of these is used:
 *   v_low_load, v_low_fma     as v_load, v_fma       v_lower(x), v_upper(x)  the first half of x, the second
 *   v_widen(x)       x and then anything    v_paste(a,b)      a, then b
 *   v_max(a,b)       a > b ? a : b, hence b when either is NaN        v_min likewise
 *   v_select(m,a,b)  m ? a : b             v_first(n)       true in lanes < n
 *   v_scale2(x,n)    x * 2^n for integral n in [-252, 254]            v_exponent, v_mantissa: x = mantissa * 2^exponent, 1 <= mantissa < 2, x > 0 normal
 *   v_two_to(t)      2^(k/V_ROOTS), normal, for t = (1.5 * 2^23 + k) / V_ROOTS: k lies in the low bits of t
 *   v_rsum, v_rmax   over all lanes, in a fixed order
 *   v_reciprocal(x)  1/x within one ulp, for x and 1/x normal
 *   v_transpose(r)   r[i] lane j <-> r[j] lane i, for V_LEN vectors
 *   v_keep(x)        x, which the compiler is to hold in a register: GCC otherwise reads it from memory again at every use
 *   v_rotation(w)    which lane follows each lane in its group of w lanes, cyclically; w a power of two, at most V_LEN
 *   v_permute(x,i)   lane l is lane i[l] of x
 *   v_load_index(p)  V_LEN lane numbers
 *   v_pick(a,b,i)    lane l is lane i[l] of a, or lane i[l] - V_LEN of b where i[l] >= V_LEN
 *   v_sliding(n)     for v_pick: lanes n.. of a, then the first n of b
 *   v_set1_two(p)    p[0] in even lanes, p[1] in odd ones
 *   v_zip(a,b,i,j)  lanes of half i of a alternate with those of half j of b; i, j 0 or 1
 *   v_unzip(a,b,i,j)   the even (i = 0) or odd lanes of a, then the even (j = 0) or odd ones of b
 *   v_load_even(p)   p[0], p[2], p[4] ...; 2*V_LEN floats are read
 *   v_load3/store3   3*V_LEN floats as triples: lane i of a, b, c is p[3i], p[3i+1], p[3i+2]
 *   v_load_half/store_half   V_LEN IEEE halves, rounded to nearest even
 *   v_load_bfloat            V_LEN bfloat16 numbers
 *   v_load_u8/i8/i32/i64     V_LEN integers as floats
 *   v_store_i32/i64          V_LEN integers, truncated; what does not fit is the smallest of them
 *   v_store_low_byte         the low bytes of what v_store_i32 stores
 *   v_store_bool             bytes: 1 where x is not 0, NaN among them, else 0
 *   v_round_half/bfloat      x rounded to what IEEE halves or bfloat16 can hold, to nearest even
 */
#ifndef FC_SIMD_H
#define FC_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "half.h"

#define V_LEN 1
#define V_REGISTERS 16
typedef float v_f32;
typedef float v_low;
typedef int v_mask;
typedef int v_index;

static inline v_f32 v_zero(void) { return 0.0f; }
static inline v_f32 v_set1(float x) { return x; }
static inline v_f32 v_load(const float *p) { return *p; }
static inline void v_store(float *p, v_f32 x) { *p = x; }
static inline v_f32 v_load_tail(const float *p, size_t n) { return n ? *p : 0.0f; }
static inline void v_store_tail(float *p, v_f32 x, size_t n) { if (n) *p = x; }
static inline v_f32 v_add(v_f32 a, v_f32 b) { return a + b; }
static inline v_f32 v_sub(v_f32 a, v_f32 b) { return a - b; }
static inline v_f32 v_mul(v_f32 a, v_f32 b) { return a * b; }
static inline v_f32 v_div(v_f32 a, v_f32 b) { return a / b; }
static inline v_f32 v_fma(v_f32 a, v_f32 b, v_f32 c) { return a * b + c; }
static inline v_low v_low_load(const float *p) { return *p; }
static inline v_low v_low_fma(v_low a, v_low b, v_low c) { return a * b + c; }
static inline v_low v_lower(v_f32 x) { return x; }
static inline v_low v_upper(v_f32 x) { return x; }
static inline v_f32 v_widen(v_low x) { return x; }
static inline v_f32 v_paste(v_low a, v_low b) { (void)b; return a; }
static inline v_f32 v_max(v_f32 a, v_f32 b) { return a > b ? a : b; }
static inline v_f32 v_min(v_f32 a, v_f32 b) { return a < b ? a : b; }
static inline v_f32 v_abs(v_f32 a) { return fabsf(a); }
static inline v_f32 v_neg(v_f32 a) { return -a; }
static inline v_f32 v_sqrt(v_f32 a) { return sqrtf(a); }
/* nearbyintf, which is a call where the CPU is not known to have an instruction for it. */
static inline v_f32 v_round(v_f32 a) { return fabsf(a) < 0x1p23f ? copysignf((fabsf(a) + 0x1p23f) - 0x1p23f, a) : a; }
static inline v_f32 v_floor(v_f32 a) { return floorf(a); }
static inline v_f32 v_ceil(v_f32 a) { return ceilf(a); }
static inline v_f32 v_copysign(v_f32 magnitude, v_f32 sign) { return copysignf(magnitude, sign); }
static inline v_mask v_lt(v_f32 a, v_f32 b) { return a < b; }
static inline v_mask v_le(v_f32 a, v_f32 b) { return a <= b; }
static inline v_mask v_eq(v_f32 a, v_f32 b) { return a == b; }
static inline v_mask v_isnan(v_f32 a) { return a != a; }
static inline v_mask v_first(size_t n) { return n > 0; }
static inline v_f32 v_select(v_mask m, v_f32 a, v_f32 b) { return m ? a : b; }
static inline float v_rsum(v_f32 a) { return a; }
static inline float v_rmax(v_f32 a) { return a; }
static inline float v_rmin(v_f32 a) { return a; }
static inline v_f32 v_scale2(v_f32 x, v_f32 n) { return ldexpf(x, (int)n); }
enum { V_ROOTS = 1 };
static inline v_f32 v_two_to(v_f32 t) { return ldexpf(1.0f, (int)(t - 12582912.0f)); }
static inline v_f32 v_exponent(v_f32 x) { int e; (void)frexpf(x, &e); return (float)(e - 1); }
static inline v_f32 v_mantissa(v_f32 x) { int e; return 2.0f * frexpf(x, &e); }

static inline v_f32 v_reciprocal(v_f32 a) { return 1.0f / a; }
static inline void v_transpose(v_f32 r[V_LEN]) { (void)r; }
static inline v_f32 v_keep(v_f32 x) { return x; }
static inline v_index v_rotation(size_t width) { (void)width; return 0; }
static inline v_f32 v_permute(v_f32 x, v_index i) { (void)i; return x; }
static inline v_index v_load_index(const int32_t *p) { return *p; }
static inline v_f32 v_pick(v_f32 a, v_f32 b, v_index i) { return i ? b : a; }
static inline v_index v_sliding(int n) { return n; }
static inline v_f32 v_set1_two(const float *p) { return *p; }
static inline v_f32 v_zip(v_f32 a, v_f32 b, int i, int j) { (void)b, (void)i, (void)j; return a; }
static inline v_f32 v_unzip(v_f32 a, v_f32 b, int i, int j) { (void)b, (void)i, (void)j; return a; }
static inline v_f32 v_load_even(const float *p) { return *p; }
static inline void v_load3(const float *p, v_f32 *a, v_f32 *b, v_f32 *c) { *a = p[0]; *b = p[1]; *c = p[2]; }
static inline void v_store3(float *p, v_f32 a, v_f32 b, v_f32 c) { p[0] = a; p[1] = b; p[2] = c; }
static inline v_f32 v_load_half(const uint16_t *p) { return fc_float_of_half(*p); }
static inline void v_store_half(uint16_t *p, v_f32 x) { *p = fc_half_of_float(x); }
static inline v_f32 v_load_bfloat(const uint16_t *p) { return fc_float_of_bits((uint32_t)*p << 16); }
static inline v_f32 v_load_u8(const uint8_t *p) { return *p; }
static inline v_f32 v_load_i8(const int8_t *p) { return *p; }
static inline v_f32 v_load_i32(const int32_t *p) { return (float)*p; }
static inline v_f32 v_load_i64(const int64_t *p) { return (float)*p; }
static inline void v_store_i32(int32_t *p, v_f32 x) { *p = x >= -0x1p31f && x < 0x1p31f ? (int32_t)x : INT32_MIN; }
static inline void v_store_i64(int64_t *p, v_f32 x) { *p = x >= -0x1p63f && x < 0x1p63f ? (int64_t)x : INT64_MIN; }
static inline void v_store_low_byte(uint8_t *p, v_f32 x)
{
    int32_t i;
    v_store_i32(&i, x);
    *p = (uint8_t)i;
}
static inline void v_store_bool(uint8_t *p, v_f32 x) { *p = x != 0.0f; }
static inline v_f32 v_round_half(v_f32 x) { return fc_float_of_half(fc_half_of_float(x)); }
static inline v_f32 v_round_bfloat(v_f32 x) { return fc_bfloat_of_float(x); }

#include "fours_scalar.h"

#endif
