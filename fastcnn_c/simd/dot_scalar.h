/* The vocabulary of 8-bit dot products with one lane: the definition of every word. The other dot_*.h say the same with more lanes.
 *
 *   v_i32              V_LEN 32-bit sums
 *   v_quads            for each lane four signed 8-bit weights         v_load_quads(p)    4 * V_LEN of them, from any address
 *   v_four             four unsigned 8-bit values, the same in all lanes   v_set1_four(p)
 *   v_dot(s, a, b)     s + a0*b0 + a1*b1 + a2*b2 + a3*b3, exactly: no sum of two products saturates
 *   Where wide tiles pay (kernels/qwide.inc), AVX2 so far:
 *   v_pairs            for each lane two 16-bit numbers                v_load_pairs(p)    2 * V_LEN of them     v_set1_pair(p)   the same two in all lanes
 *   v_dot_pairs(s, a, b)   s + a0*b0 + a1*b1, exactly: a is unsigned bytes, b signed ones
 *   v_store_wide_quads(first, second, p)   values 0 and 1 of each quad of v_load_quads(p), and values 2 and 3, as pairs
 *   v_load_sums, v_store_sums (and _tail: lanes < n, touches no more)
 *   v_float_of(s)      sums as floats, rounded to nearest even
 *   v_sums_set1(i)     the same sum in all lanes
 *   v_less(p, n, v_point_of(z))   lanes < n from bytes, less z, as floats, |z| < 2^22; touches p[0..n) only
 *   v_whole(x)         x rounded to nearest even, for |x| < 2^22, in a form of the level's own: the bits of 1.5 * 2^23 + x where there are vectors
 *   v_bounded(s, v_bound(lo), v_bound(hi))   lo and hi rounded to nearest even bound such a number
 *   v_float_of_whole(s)   such a number as a float
 *   v_byte_of(s, j)    byte j of each sum
 *   v_saturate(x, z)   x rounded to nearest even, plus z, brought into 0..255; x < 2^31, NaN gives 0
 *   v_join(a, b, c, d) a + b * 2^8 + c * 2^16 + d * 2^24, for sums in 0..255
 *   v_gather_sums(p, d)   lane i from the 4 bytes at p + i * d
 *   v_quotient(x, d, r)   x / d as a division rounds it, for r = 1 / d rounded, d in [2^-98, 2^116] and |x| <= 1024 * d; where |x / d| < 1/4 any number
 *                      below 1/2
 *   v_bytes            4 * V_LEN bytes      v_load_bytes(p, n), v_store_bytes(p, b, n): the first n <= 4 * V_LEN, touches no more
 *   v_pack_bytes(x, z) v_saturate of four vectors, one after the other
 *   v_pack_near(x, z)  v_pack_bytes where |x| < 2^30
 *   v_pack_nearer(x, v_zero_of(z))   v_pack_bytes where |x| < 2^15 - 2^8
 *   v_clamp_bytes(b, lo, hi)
 *   v_max_bytes(a, b)  v_no_bytes(): zeros
 *   v_interleave(r, q) lanes of four bytes, one of each r[0..4): q[0..4) have all bytes of r, in an order that v_pack_lanes undoes
 *   v_pack_lanes(x, z) v_saturate of four vectors whose lanes are in the order of v_interleave: bytes as r had them
 *   v_keep_quads(b)    b, which the compiler is to hold in registers where it is one (v_keep)
 *   v_fours_of(s)      the four bytes of each lane as what v_dot multiplies
 *   v_load_parts(p, d, parts, n)   the first n bytes of each of 1, 2 or 4 parts of as many vectors, d bytes apart (1 with one lane)
 *   v_store_part(p, b, k, parts, n)   the first n bytes of part k of b, which has 1, 2 or 4 parts of as many vectors each
 */
typedef int32_t v_i32;
typedef struct v_quads { int8_t of[4]; } v_quads;
typedef struct v_four { uint8_t of[4]; } v_four;

static inline v_i32 v_add_sums(v_i32 a, v_i32 b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static inline v_i32 v_load_sums(const int32_t *p) { return *p; }
static inline void v_store_sums(int32_t *p, v_i32 s) { *p = s; }
static inline v_i32 v_load_sums_tail(const int32_t *p, size_t n) { return n ? *p : 0; }
static inline void v_store_sums_tail(int32_t *p, v_i32 s, size_t n) { if (n) *p = s; }
static inline v_quads v_load_quads(const int8_t *p) { v_quads q; memcpy(q.of, p, 4); return q; }
static inline v_four v_set1_four(const uint8_t *p) { v_four f; memcpy(f.of, p, 4); return f; }
static inline v_i32 v_dot(v_i32 s, v_four a, v_quads b)
{
    return v_add_sums(s, a.of[0] * b.of[0] + a.of[1] * b.of[1] + a.of[2] * b.of[2] + a.of[3] * b.of[3]);
}
static inline v_f32 v_float_of(v_i32 s) { return (float)s; }
static inline v_i32 v_sums_set1(int32_t x) { return x; }

static inline v_i32 v_sub_sums(v_i32 a, v_i32 b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
typedef int32_t v_point, v_zero_point;
static inline v_point v_point_of(int32_t z) { return z; }
static inline v_zero_point v_zero_of(int32_t z) { return z; }
static inline v_f32 v_less(const uint8_t *p, size_t n, v_point z) { return (float)((n ? *p : 0) - z); }
static inline v_f32 v_float_of_whole(v_i32 s) { return (float)s; }
static inline v_i32 v_whole(v_f32 x) { return (int32_t)((x + 0x1.8p23f) - 0x1.8p23f); }
static inline v_f32 v_bound(float x) { return x; }
static inline v_i32 v_bounded(v_i32 s, v_f32 lo, v_f32 hi)
{
    const float x = (float)s, above = x > lo ? x : lo;
    return v_whole(above < hi ? above : hi);
}
static inline v_i32 v_byte_of(v_i32 s, int j) { return s >> (8 * j) & 255; }
static inline v_i32 v_saturate(v_f32 x, int32_t z)
{
    const float lo = (float)-z, hi = (float)(255 - z), above = x > lo ? x : lo, y = above < hi ? above : hi;
    return (int32_t)((y + 0x1.8p23f) - 0x1.8p23f) + z;      /* rounded as in round.inc; bounds are integers, so they may come first */
}
static inline v_i32 v_join(v_i32 a, v_i32 b, v_i32 c, v_i32 d) { return a | b << 8 | c << 16 | (int32_t)((uint32_t)d << 24); }
static inline v_i32 v_gather_sums(const uint8_t *p, size_t d) { v_i32 s; (void)d; memcpy(&s, p, 4); return s; }
static inline v_f32 v_quotient(v_f32 x, v_f32 d, v_f32 r) { (void)r; return x / d; }

/* Element by element: the compiler makes vectors of loops over these, where it does not of copies. */
typedef struct v_bytes { uint8_t of[4]; } v_bytes;
static inline v_bytes v_load_bytes(const uint8_t *p, size_t n)
{
    return (v_bytes){{n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, n > 3 ? p[3] : 0}};
}
static inline void v_store_bytes(uint8_t *p, v_bytes b, size_t n)
{
    for (size_t i = 0; i < 4; i++)
        if (i < n)
            p[i] = b.of[i];
}
static inline v_bytes v_pack_bytes(const v_f32 x[4], int32_t z)
{
    return (v_bytes){{(uint8_t)v_saturate(x[0], z), (uint8_t)v_saturate(x[1], z), (uint8_t)v_saturate(x[2], z), (uint8_t)v_saturate(x[3], z)}};
}
static inline v_bytes v_clamp_bytes(v_bytes b, int32_t lo, int32_t hi)
{
    for (int i = 0; i < 4; i++)
        b.of[i] = (uint8_t)(b.of[i] < lo ? lo : b.of[i] > hi ? hi : b.of[i]);
    return b;
}
static inline void v_store_part(uint8_t *p, v_bytes b, int k, int parts, size_t n) { memcpy(p, b.of + k * 4 / parts, n); }
static inline v_bytes v_no_bytes(void) { return (v_bytes){{0}}; }
static inline v_bytes v_max_bytes(v_bytes a, v_bytes b)
{
    for (int i = 0; i < 4; i++)
        a.of[i] = a.of[i] > b.of[i] ? a.of[i] : b.of[i];
    return a;
}
static inline void v_interleave(const v_bytes r[4], v_i32 q[4])
{
    for (int k = 0; k < 4; k++)
        q[k] = v_join(r[0].of[k], r[1].of[k], r[2].of[k], r[3].of[k]);
}
static inline v_bytes v_pack_lanes(const v_f32 x[4], int32_t z) { return v_pack_bytes(x, z); }
static inline v_bytes v_pack_nearer(const v_f32 x[4], v_zero_point z) { return v_pack_bytes(x, z); }
static inline v_four v_fours_of(v_i32 s) { v_four f; memcpy(f.of, &s, 4); return f; }
static inline v_bytes v_load_parts(const uint8_t *p, size_t d, int parts, size_t n) { (void)d, (void)parts; return v_load_bytes(p, n); }
static inline v_quads v_keep_quads(v_quads b) { return b; }
