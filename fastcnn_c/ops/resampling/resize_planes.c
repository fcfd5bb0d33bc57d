/* Separable resizing of row-major planes: an input row is interpolated along its columns once, by lanes picked from its vectors, kept in
 * a ring of as many rows as an output row reads, and output rows are weighted sums of ring rows. For maps that leave the network
 * enlarged: planes are made from the small side.
 */
#include <string.h>

#include "kernels/kernels.h"
#include "team.h"

enum {
    ROWS_AHEAD = 8,      /* of y, whose lines are asked for: in a network they are in no cache (bench/notes/kinds.md) */
    ROWS_TOGETHER = 8,   /* of x that are repeated a vector of columns at a time: they and what they become stay in L1 */
};

typedef struct ring {
    int64_t width;      /* floats of a row of the ring: whole vectors */
    float *band;        /* an input row shorter than a vector, and nothing behind it */
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

/* Input row x where a vector of it may be read: as it lies unless it is shorter than that. */
static const float *readable(const fc_resize_planes *p, const ring *r, const float *x)
{
    return p->iw >= fc_active->vector_length ? x : memcpy(r->band, x, (size_t)p->iw * sizeof(float));
}

/* Input row x, interpolated along its columns. */
static void interpolate_columns(const fc_resize_planes *p, void *const *t, const ring *r, const float *x, float *y)
{
    const fc_resize_picks_args a = {.y = y,
                                    .x = readable(p, r, x),
                                    .table = t[4],
                                    .w = t[5],
                                    .taps = (size_t)p->taps_w,
                                    .n = (size_t)p->ow};
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

/* The lines of `rows` rows of y, some rows after row `unit` of all planes. */
static void ask_ahead(const fc_resize_planes *p, const float *y, int64_t unit, int64_t rows, int64_t end)
{
    const int64_t last = fc_min(unit + ROWS_AHEAD + rows, end) * p->ow;
    for (int64_t j = (unit + ROWS_AHEAD) * p->ow; j < last; j += FC_ALIGN / (int64_t)sizeof(float))
        __builtin_prefetch(y + j, 1, 2);
}

/* How many output rows from oy on, of those before `last`, are the same input row. */
static int64_t run_of(const int32_t *index, int64_t oy, int64_t last)
{
    int64_t end = oy + 1;
    while (end < last && index[end] == index[oy])
        end++;
    return end - oy;
}

/* Output rows [oy, last) of a plane where each is an input row: as many input rows at a time as follow each other and are repeated alike. */
static void repeat_rows(const fc_resize_planes *p, void *const *t, const ring *r, const float *x, float *y, int64_t oy, int64_t last)
{
    const int32_t *index = t[2];
    fc_resize_picks_args a = {.table = t[4], .n = (size_t)p->ow, .x_row = (size_t)p->iw};
    while (oy < last) {
        const int64_t copies = run_of(index, oy, last), most = p->iw < fc_active->vector_length ? 1 : ROWS_TOGETHER;
        int64_t rows = 1, next = oy + copies;
        while (rows < most && next < last && index[next] == index[oy] + rows && run_of(index, next, last) == copies) {
            rows++;
            next += copies;
        }
        a.x = readable(p, r, x + index[oy] * p->iw);
        a.y = y + oy * p->ow;
        a.rows = (size_t)rows;
        a.copies = (size_t)copies;
        fc_active->resize->repeats(&a);
        oy = next;
    }
}

/* The same for rows [begin, end) of all planes. */
static void repeat_planes(const fc_resize_planes *p, void *const *t, const ring *r, int64_t begin, int64_t end)
{
    while (begin < end) {
        const int64_t plane = begin / p->oh, oy = begin % p->oh, last = fc_min(p->oh, oy + end - begin);
        repeat_rows(p, t, r, (const float *)t[1] + plane * p->ih * p->iw, (float *)t[0] + plane * p->oh * p->ow, oy, last);
        begin += last - oy;
    }
}

fc_status fc_run_resize_planes(const void *params, void *const *t, const fc_team *team)
{
    const fc_resize_planes *p = params;
    const ring r = ring_in(p, team->scratch);
    int64_t begin, end;
    fc_share(team, p->planes * p->oh, &begin, &end);
    if (t[5] == NULL) {
        repeat_planes(p, t, &r, begin, end);
        return FC_OK;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        ask_ahead(p, t[0], unit, 1, end);
        if (unit == begin || unit % p->oh == 0)
            for (int64_t k = 0; k < p->taps_h; k++)
                r.keys[k] = -1;
        compute_row(p, t, &r, (const float *)t[1] + unit / p->oh * p->ih * p->iw, (float *)t[0] + unit * p->ow, unit % p->oh);
    }
    return FC_OK;
}
