/* The vocabulary of 8-bit dot products with one lane: the definition of every word. The other dot_*.h say the same with more lanes.
 *
 *   v_i32              V_LEN 32-bit sums
 *   v_quads            for each lane four signed 8-bit weights         v_load_quads(p)    4 * V_LEN of them, from any address
 *   v_four             four unsigned 8-bit values, the same in all lanes   v_set1_four(p)
 *   v_dot(s, a, b)     s + a0*b0 + a1*b1 + a2*b2 + a3*b3, exactly: no sum of two products saturates
 *   v_sums_zero, v_load_sums, v_store_sums (and _tail: lanes < n, touches no more)
 *   v_float_of(s)      sums as floats, rounded to nearest even
 *   v_sums_set1(i)     the same sum in all lanes
 *   v_store_bytes_tail(p, x, z, n)   lanes < n of x rounded to nearest even, plus z, which is in 0..255, as bytes
 */
typedef int32_t v_i32;
typedef struct v_quads { int8_t of[4]; } v_quads;
typedef struct v_four { uint8_t of[4]; } v_four;

static inline v_i32 v_sums_zero(void) { return 0; }
static inline v_i32 v_add_sums(v_i32 a, v_i32 b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
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
static inline void v_store_bytes_tail(uint8_t *p, v_f32 x, v_i32 z, size_t n) { if (n) *p = (uint8_t)((int32_t)nearbyintf(x) + z); }
