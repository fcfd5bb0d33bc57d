/* Separable resizing of row-major planes: an input row is interpolated along its columns once, by lanes picked from its vectors, kept in
 * a ring of as many rows as an output row reads, and output rows are weighted sums of ring rows. For maps that leave the network
 * enlarged: planes are made from the small side.
 */
#include <string.h>

#include "../kernels/kernels.h"
#include "../team.h"

enum { ROWS_AHEAD = 8 };   /* of y, whose lines are asked for: in a network they are in no cache (bench/README.md) */

typedef struct ring {
    int64_t width;      /* floats of a row of the ring: whole vectors */
    float *band;        /* an input row, and nothing behind it up to a vector */
    float *data;
    const float **rows;
    int64_t *keys;      /* the input row in each slot, -1: none */
} ring;

static int64_t whole_vectors(int64_t n)
{
    const int64_t v = fc_active->vector_length;
    return fc_ceil_div(n, v) * v;
}

static size_t floats_bytes(int64_t n) { return fc_align_up((size_t)whole_vectors(n) * sizeof(float)); }

size_t fc_scratch_resize_planes(const void *params, int threads)
{
    const fc_resize_planes *p = params;
    (void)threads;
    return floats_bytes(p->iw) + (size_t)p->taps_h * floats_bytes(p->ow) + fc_align_up((size_t)p->taps_h * sizeof(float *))
           + fc_align_up((size_t)p->taps_h * sizeof(int64_t));
}

static ring ring_in(const fc_resize_planes *p, char *scratch)
{
    ring r = {.width = (int64_t)(floats_bytes(p->ow) / sizeof(float)), .band = (float *)(void *)scratch};
    memset(r.band, 0, floats_bytes(p->iw));
    r.data = (float *)(void *)(scratch + floats_bytes(p->iw));
    r.rows = (const float **)(void *)(r.data + p->taps_h * r.width);
    r.keys = (int64_t *)(void *)((char *)r.rows + fc_align_up((size_t)p->taps_h * sizeof(float *)));
    return r;
}

/* Input row x, interpolated along its columns. */
static void interpolate_columns(const fc_resize_planes *p, void *const *t, const ring *r, const float *x, float *y)
{
    memcpy(r->band, x, (size_t)p->iw * sizeof(float));
    const fc_resize_picks_args a = {.y = y,
                                    .x = r->band,
                                    .table = t[4],
                                    .w = t[5],
                                    .taps = (size_t)p->taps_w,
                                    .vectors = (size_t)(whole_vectors(p->ow) / fc_active->vector_length)};
    fc_active->resize->picks(&a);
}

/* Row oy of the plane that x is. */
static void compute_row(const fc_resize_planes *p, void *const *t, const ring *r, const float *x, float *y, int64_t oy)
{
    const int32_t *index = (const int32_t *)t[2] + oy * p->taps_h;
    for (int64_t k = 0; k < p->taps_h; k++) {
        const int64_t iy = index[k], slot = iy % p->taps_h;
        float *row = r->data + slot * r->width;
        if (r->keys[slot] != iy)
            interpolate_columns(p, t, r, x + iy * p->iw, row);
        r->keys[slot] = iy;
        r->rows[k] = row;
    }
    const fc_resize_rows_args a = {.y = y,
                                   .y_pixel = (size_t)p->ow,
                                   .rows = r->rows,
                                   .w = (const float *)t[3] + oy * p->taps_h,
                                   .taps = (size_t)p->taps_h,
                                   .count = 1,
                                   .n = (size_t)p->ow};
    fc_active->resize->rows[p->taps_h <= FC_RESIZE_MAX_TAPS ? p->taps_h : 0](&a);
}

fc_status fc_run_resize_planes(const void *params, void *const *t, const fc_team *team)
{
    const fc_resize_planes *p = params;
    const ring r = ring_in(p, team->scratch);
    int64_t begin, end;
    fc_share(team, p->planes * p->oh, &begin, &end);
    for (int64_t unit = begin; unit < end; unit++) {
        for (int64_t j = 0; j < p->ow && unit + ROWS_AHEAD < end; j += FC_ALIGN / (int64_t)sizeof(float))
            __builtin_prefetch((float *)t[0] + (unit + ROWS_AHEAD) * p->ow + j, 1, 2);
        if (unit == begin || unit % p->oh == 0)
            for (int64_t k = 0; k < p->taps_h; k++)
                r.keys[k] = -1;
        compute_row(p, t, &r, (const float *)t[1] + unit / p->oh * p->ih * p->iw, (float *)t[0] + unit * p->ow, unit % p->oh);
    }
    return FC_OK;
}
