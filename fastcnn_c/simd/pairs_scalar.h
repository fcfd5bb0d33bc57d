/* The vocabulary of bfloat16 pairs with one lane: the definition of every word.
 *
 *   v_pairs                     for each lane two bfloat16 numbers, 16 bits each
 *   v_load_pairs(p)             V_LEN of them, from any address      v_set1_pair(p)  the same in all lanes
 *   v_set1_half(p)              one of them and 0 in all lanes
 *   v_dot_pairs(s, a, b)        s + a0*b0 + a1*b1 in float32, in an order of its own
 *   v_lower_lanes                     the lower half of the lanes: v_lower_of(x), v_of_lower(x) with anything in the others
 *   v_dot_lower(s, a, b)        v_dot_pairs of these lanes
 *   v_load_wide(p, n)           lanes < n of bfloat16 as float32, zeros behind; touches no more
 *   v_store_narrow(p, x, n)     lanes < n of x, rounded to nearest even; touches no more
 */
#include <string.h>

#include "half.h"

typedef struct v_pairs { float of[2]; } v_pairs;

static inline float bf16_to_float(uint16_t h) { return fc_float_of_bits((uint32_t)h << 16); }

static inline uint16_t bf16_of_float(float x)
{
    const uint32_t bits = fc_bits_of_float(x);
    if (x != x)
        return (uint16_t)(bits >> 16 | 0x40);           /* NaN stays one */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline v_pairs v_load_pairs(const uint16_t *p) { return (v_pairs){{bf16_to_float(p[0]), bf16_to_float(p[1])}}; }

static inline v_pairs v_set1_pair(const uint8_t *p)
{
    uint16_t h[2];
    memcpy(h, p, sizeof h);
    return v_load_pairs(h);
}

static inline v_pairs v_set1_half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return (v_pairs){{bf16_to_float(h), 0.0f}};
}

static inline v_f32 v_dot_pairs(v_f32 s, v_pairs a, v_pairs b) { return s + a.of[0] * b.of[0] + a.of[1] * b.of[1]; }

typedef v_f32 v_lower_lanes;

static inline v_lower_lanes v_lower_of(v_f32 x) { return x; }
static inline v_f32 v_of_lower(v_lower_lanes x) { return x; }
static inline v_lower_lanes v_dot_lower(v_lower_lanes s, v_pairs a, v_pairs b) { return v_dot_pairs(s, a, b); }
static inline v_f32 v_load_wide(const uint16_t *p, size_t n) { return n ? bf16_to_float(*p) : 0.0f; }
static inline void v_store_narrow(uint16_t *p, v_f32 x, size_t n) { if (n) *p = bf16_of_float(x); }
