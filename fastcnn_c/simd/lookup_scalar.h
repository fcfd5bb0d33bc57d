/* Lookups of bytes: the definition. The other lookup_*.h say the same with more lanes.
 *
 *   v_table   256 bytes       v_load_table(p)       v_lookup(t, b)   each byte of b replaced by that entry of the table
 *   v_values  FC_LOOKUP numbers of 16 bits   v_load_values(p)   v_find_two(t, a, b)   each lane of a and b, integers or NaN, replaced by the
 *             entry of its last 8 bits
 */
typedef const uint8_t *v_table;

static inline v_table v_load_table(const uint8_t *p) { return p; }
static inline v_bytes v_lookup(const v_table *t, v_bytes b)
{
    return (v_bytes){{(*t)[b.of[0]], (*t)[b.of[1]], (*t)[b.of[2]], (*t)[b.of[3]]}};
}

typedef const int16_t *v_values;

static inline v_values v_load_values(const int16_t *p) { return p; }
static inline int v_last_byte(float x) { return x == x ? (int)x & 255 : 0; }
static inline void v_find_two(const v_values *t, v_f32 *a, v_f32 *b)
{
    *a = (*t)[v_last_byte(*a)];
    *b = (*t)[v_last_byte(*b)];
}
