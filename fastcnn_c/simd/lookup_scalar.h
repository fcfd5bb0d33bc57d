/* Lookups of bytes: the definition. The other lookup_*.h say the same with more lanes.
 *
 *   v_table   256 bytes       v_load_table(p)       v_lookup(t, b)   each byte of b replaced by that entry of the table
 */
typedef const uint8_t *v_table;

static inline v_table v_load_table(const uint8_t *p) { return p; }
static inline v_bytes v_lookup(const v_table *t, v_bytes b)
{
    return (v_bytes){{(*t)[b.of[0]], (*t)[b.of[1]], (*t)[b.of[2]], (*t)[b.of[3]]}};
}
