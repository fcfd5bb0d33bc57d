/* AMX's eight registers of up to 16 rows of 64 bytes, by number: 0 to 3 sums, 4 and 6 of a, 5 and 7 of b.
 *
 * tile_set_shapes(rows, left)  0 to 4: so many rows; 6: so many rows of `left` words of 4 bytes; 5: 16 rows; 7: `left` rows
 * tile_load(t, p, pitch)       rows from p, pitch bytes apart
 * tile_dot(t, a, b)            int32: t[i][j] += sum_k a[i][4*k + l] * b[k][4*j + l] over words k and l < 4, a unsigned, b signed
 * tile_dot_pairs(t, a, b)      float32: the same over words and l < 2 of bfloat16 numbers
 * tile_store(t, p, pitch), tile_release()
 * tile_keep_shapes(shape, rows, left)  sets the shapes where *shape, which is 0 at first, is not theirs already
 */
#include <immintrin.h>
#include <stdint.h>

enum { TILE_ROWS = 16, TILE_WORDS = 16, TILE_BYTES = 64 };

/* The compiler does not know that a tile is loaded from memory: what was stored before has to be there. */
#define tile_load(t, p, pitch) do { __asm__ volatile("" : : : "memory"); _tile_loadd(t, p, pitch); } while (0)
#define tile_store(t, p, pitch) _tile_stored(t, p, pitch)
#define tile_dot(t, a, b) _tile_dpbusd(t, a, b)
#define tile_dot_pairs(t, a, b) _tile_dpbf16ps(t, a, b)
#define tile_release() _tile_release()

static inline void tile_set_shapes(int rows, int left)
{
    struct { uint8_t palette, start_row, reserved[14]; uint16_t row_bytes[16]; uint8_t rows[16]; } shapes = {.palette = 1};
    if (left == 0)
        left = 1;       /* no register may be empty */
    for (int t = 0; t < 8; t++) {
        shapes.row_bytes[t] = (uint16_t)(t == 6 ? 4 * left : TILE_BYTES);
        shapes.rows[t] = (uint8_t)(t == 5 ? TILE_WORDS : t == 7 ? left : rows);
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
}

static inline void tile_keep_shapes(uint32_t *shape, int rows, int left)
{
    const uint32_t wanted = (uint32_t)(rows * TILE_WORDS + left);
    if (*shape != wanted)
        tile_set_shapes(rows, left);
    *shape = wanted;
}
