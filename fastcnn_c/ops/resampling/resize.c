/* Separable resizing: an input row is interpolated along its columns once, kept in a ring of as many rows as an output row reads,
 * and output rows are weighted sums of ring rows. Wide rows go in blocks of columns, so that the ring stays in L1. */
#include "team.h"
#include "ops/epilogue.h"

enum { RING_BYTES = 24 * 1024 }; /* of a 32 KB L1 */

typedef struct ring {
    int64_t block;  /* output columns */
    int64_t stride; /* floats of a ring row */
    float *data;
    const float **rows;
    int64_t *keys; /* the input row in each slot, -1: none */
} ring;

static int64_t block_columns(const fc_resize *p)
{
    const int64_t fits = RING_BYTES / (int64_t)sizeof(float) / (p->taps_h * p->c);
    return fc_ceil_div(p->ow, fc_ceil_div(p->ow, fc_max(fits, 1)));
}

static size_t data_bytes(const fc_resize *p)
{
    return (size_t)p->taps_h * fc_align_up((size_t)(block_columns(p) * p->c) * sizeof(float));
}

size_t fc_scratch_resize(const void *params, int threads)
{
    const fc_resize *p = params;
    (void)threads;
    return data_bytes(p) + fc_align_up((size_t)p->taps_h * sizeof(float *)) + fc_align_up((size_t)p->taps_h * sizeof(int64_t));
}

static ring ring_in(const fc_resize *p, char *scratch)
{
    ring r = {.block = block_columns(p), .data = (float *)(void *)scratch};
    r.stride = (int64_t)(fc_align_up((size_t)(r.block * p->c) * sizeof(float)) / sizeof(float));
    r.rows = (const float **)(void *)(scratch + data_bytes(p));
    r.keys = (int64_t *)(void *)((char *)r.rows + fc_align_up((size_t)p->taps_h * sizeof(float *)));
    return r;
}

/* Columns [ox, ox + count) of an input row, interpolated. */
static void interpolate_columns(const fc_resize *p, void *const *t, const float *x, float *y, int64_t y_pixel, int64_t ox,
                                int64_t count)
{
    fc_resize_columns_args a = {.y = y,
                                .y_pixel = (size_t)y_pixel,
                                .x = x,
                                .x_pixel = (size_t)p->x_pixel,
                                .taps = (size_t)p->taps_w,
                                .count = (size_t)count,
                                .n = (size_t)p->c};
    a.index = (const int32_t *)t[4] + ox * p->taps_w;
    a.w = (const float *)t[5] + ox * p->taps_w;
    fc_active->resize->columns[p->taps_w <= FC_RESIZE_MAX_TAPS ? p->taps_w : 0](&a);
}

/* Columns [ox, ox + count) of output row oy. */
static void compute_row(const fc_resize *p, void *const *t, const ring *r, const float *x, float *y, int64_t oy, int64_t ox,
                        int64_t count)
{
    const int32_t *index = (const int32_t *)t[2] + oy * p->taps_h;
    for (int64_t k = 0; k < p->taps_h; k++) {
        const int64_t iy = index[k], slot = iy % p->taps_h;
        float *row = r->data + slot * r->stride;
        if (r->keys[slot] != iy)
            interpolate_columns(p, t, x + iy * p->x_row, row, p->c, ox, count);
        r->keys[slot] = iy;
        r->rows[k] = row;
    }
    fc_resize_rows_args a = {.y = y + oy * p->y_row + ox * p->y_pixel,
                             .y_pixel = (size_t)p->y_pixel,
                             .rows = r->rows,
                             .w = (const float *)t[3] + oy * p->taps_h,
                             .taps = (size_t)p->taps_h,
                             .count = (size_t)count,
                             .n = (size_t)p->c};
    fc_active->resize->rows[p->taps_h <= FC_RESIZE_MAX_TAPS ? p->taps_h : 0](&a);
}

/* Rows [begin, end) of one image, a block of columns at a time. */
static void run_rows(const fc_resize *p, void *const *t, const ring *r, const float *x, float *y, int64_t begin, int64_t end)
{
    for (int64_t ox = 0; ox < p->ow; ox += r->block) {
        for (int64_t k = 0; k < p->taps_h; k++)
            r->keys[k] = -1;
        for (int64_t oy = begin; oy < end; oy++)
            compute_row(p, t, r, x, y, oy, ox, fc_min(r->block, p->ow - ox));
    }
}

fc_status fc_run_resize(const void *params, void *const *t, const fc_team *team)
{
    const fc_resize *p = params;
    const ring r = ring_in(p, team->scratch);
    int64_t begin, end;
    fc_share(team, p->n * p->oh, &begin, &end);
    while (begin < end) {
        const int64_t image = begin / p->oh, from = begin % p->oh, to = fc_min(p->oh, from + end - begin);
        run_rows(p, t, &r, (const float *)t[1] + image * p->x_image, (float *)t[0] + image * p->y_image, from, to);
        begin += to - from;
    }
    return FC_OK;
}
