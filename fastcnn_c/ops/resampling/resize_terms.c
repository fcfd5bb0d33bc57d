/* Linear resizing of integers with the rounding of onnxruntime, which truncates: four or eight terms a pixel, each a product of two
 * weights and an element, summed in its order. Elements that columns take are gathered once an input row; sums run over long rows.
 */
#include <string.h>

#include "kernels/kernels.h"
#include "team.h"
#include "ops/dtypes.h"

enum { BLOCK = 1024, ROWS = 2, FIXED_BITS = 20 };

typedef union number {
    float f;
    int32_t i;
} number;

/* Rows of a block of columns: gathered[row % ROWS][tap][BLOCK], and their sum. */
typedef struct gathered {
    number *taps, *sum;
    int64_t row[ROWS];         /* the input row in each slot, -1: none */
} gathered;

size_t fc_scratch_resize_terms(const void *params, int threads)
{
    const fc_resize_terms *p = params;
    (void)threads;
    return (size_t)(ROWS * p->taps_w + 1) * BLOCK * sizeof(number);
}

#define T uint8_t
#define TYPED(name) name##_u8
#include "resize_terms.inc"
#define T int8_t
#define TYPED(name) name##_i8
#include "resize_terms.inc"
#define T int32_t
#define TYPED(name) name##_i32
#include "resize_terms.inc"

typedef struct row_functions {
    void (*gather)(number *to, const void *x, const int32_t *index, int64_t n, int fixed);
    void (*narrow)(void *y, const number *sum, int64_t n, int fixed);
} row_functions;

static const row_functions functions_of[FC_DTYPE_COUNT] = {
    [FC_U8] = {gather_u8, narrow_u8}, [FC_I8] = {gather_i8, narrow_i8}, [FC_I32] = {gather_i32, narrow_i32}};

/* Output row oy of the plane x, columns [ox, ox + n). */
static void compute_row(const fc_resize_terms *p, void *const *t, gathered *g, const char *x, char *y, int64_t oy, int64_t ox, int64_t n)
{
    const row_functions *f = &functions_of[p->dtype];
    const int64_t bytes = fc_dtype_bytes(p->dtype);
    const int32_t *rows = (const int32_t *)t[2] + oy * ROWS;
    memset(g->sum, 0, (size_t)n * sizeof(number));
    for (int r = 0; r < ROWS; r++) {
        const int64_t iy = rows[r], slot = iy % ROWS;
        number *taps = g->taps + slot * p->taps_w * BLOCK;
        for (int64_t k = 0; k < p->taps_w && g->row[slot] != iy; k++)
            f->gather(taps + k * BLOCK, x + iy * p->iw * bytes, (const int32_t *)t[4] + k * p->ow + ox, n, (int)p->fixed);
        g->row[slot] = iy;
        for (int64_t k = 0; k < p->taps_w; k++) {
            const number *w = (const number *)t[5] + k * p->ow + ox, row = ((const number *)t[3])[oy * ROWS + r];
            if (p->fixed)
                fc_active->resize->terms_i32(&g->sum->i, &w->i, row.i, &taps[k * BLOCK].i, (size_t)n);
            else
                fc_active->resize->terms(&g->sum->f, &w->f, row.f, &taps[k * BLOCK].f, (size_t)n);
        }
    }
    f->narrow(y + (oy * p->ow + ox) * bytes, g->sum, n, (int)p->fixed);
}

/* Threads share output rows. */
fc_status fc_run_resize_terms(const void *params, void *const *t, const fc_team *team)
{
    const fc_resize_terms *p = params;
    const int64_t bytes = fc_dtype_bytes(p->dtype);
    gathered g = {.taps = team->scratch, .sum = (number *)team->scratch + ROWS * p->taps_w * BLOCK};
    int64_t begin, end;
    fc_share(team, p->planes * p->oh, &begin, &end);
    while (begin < end) {
        const int64_t plane = begin / p->oh, from = begin % p->oh, to = fc_min(p->oh, from + end - begin);
        const char *x = (const char *)t[1] + plane * p->ih * p->iw * bytes;
        char *y = (char *)t[0] + plane * p->oh * p->ow * bytes;
        for (int64_t ox = 0; ox < p->ow; ox += BLOCK) {
            g.row[0] = g.row[1] = -1;
            for (int64_t oy = from; oy < to; oy++)
                compute_row(p, t, &g, x, y, oy, ox, fc_min(BLOCK, p->ow - ox));
        }
        begin += to - from;
    }
    return FC_OK;
}
