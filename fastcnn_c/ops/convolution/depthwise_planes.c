/* Depthwise convolution of row-major planes, for nodes whose input and output are row-major anyway: each input row is copied once into a
 * ring of rows that have their padding on both sides, and an output row, or two, is summed from those (kernels/depthwise_rows.inc).
 */
#include <string.h>

#include "team.h"
#include "ops/epilogue.h"

typedef struct run {
    const fc_depthwise_planes *p;
    fc_depthwise_rows_args args;
    int64_t slots, floats;   /* rows of the ring, and of each so many floats */
    float *ring;
    const float **rows;      /* of one window */
    int64_t *keys;           /* the input row in each slot, -1: none */
} run;

/* Whole vectors are read from a row, up to 2 * sw vectors past its last window. */
static int64_t row_floats(const fc_depthwise_planes *p)
{
    const int64_t windows = (p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1;
    return fc_max(windows, p->pl + p->iw) + 2 * FC_MAX_VECTOR * p->sw;
}

/* Two output rows see one input row more than one does. */
static int in_pairs(const fc_depthwise_planes *p) { return p->sh == 1 && p->sw == 1 && p->dh == 1; }

static int64_t ring_rows(const fc_depthwise_planes *p) { return (p->kh - 1) * p->dh + 1 + in_pairs(p); }

static size_t ring_bytes(const fc_depthwise_planes *p) { return fc_align_up((size_t)(ring_rows(p) * row_floats(p)) * sizeof(float)); }

size_t fc_scratch_depthwise_planes(const void *params, int threads)
{
    const fc_depthwise_planes *p = params;
    (void)threads;
    return ring_bytes(p) + fc_align_up((size_t)(p->kh + 1) * sizeof(float *)) + fc_align_up((size_t)ring_rows(p) * sizeof(int64_t));
}

/* Input row iy of plane x with zeros around it: those at its ends stay, whatever rows a slot has held. */
static const float *padded_row(const run *s, const float *x, int64_t iy)
{
    const int64_t slot = iy % s->slots;
    float *row = s->ring + slot * s->floats;
    if (s->keys[slot] != iy)
        memcpy(row + s->p->pl, x + iy * s->p->iw, (size_t)s->p->iw * sizeof *row);
    s->keys[slot] = iy;
    return row;
}

/* Output row oy of plane x, with the filter w, and the next where no window of both meets padding above or below. `left`: rows from oy on
 * that are wanted. Returns how many it were. */
static int64_t run_rows(run *s, float *y, const float *x, const float *w, int64_t oy, int64_t left)
{
    const fc_depthwise_planes *p = s->p;
    const int64_t start = oy * p->sh - p->pt, skip = start < 0 ? fc_ceil_div(-start, p->dh) : 0;
    const int pair = in_pairs(p) && left > 1 && start >= 0 && start + p->kh < p->ih;
    int64_t count = 0;
    for (int64_t k = skip; k < p->kh + pair && start + k * p->dh < p->ih; k++)
        s->rows[count++] = padded_row(s, x, start + k * p->dh);
    s->args.row_count = (size_t)(count - pair);
    s->args.w = w + fc_min(skip, p->kh) * p->kw;
    s->args.y = y;
    if (pair)
        fc_active->depthwise_rows->pair(&s->args);
    else
        fc_active->depthwise_rows->row[p->sw - 1](&s->args);
    return 1 + pair;
}

fc_status fc_run_depthwise_planes(const void *params, void *const *t, const fc_team *team)
{
    const fc_depthwise_planes *p = params;
    char *scratch = team->scratch;
    run s = {.p = p, .slots = ring_rows(p), .floats = row_floats(p),
             .ring = (float *)(void *)scratch, .rows = (const float **)(void *)(scratch + ring_bytes(p))};
    s.keys = (int64_t *)(void *)((char *)s.rows + fc_align_up((size_t)(p->kh + 1) * sizeof(float *)));
    s.args = (fc_depthwise_rows_args){.rows = s.rows, .kw = (size_t)p->kw, .dw = (size_t)p->dw, .count = (size_t)p->ow};
    fc_clamp_bounds(p->fn, p->alpha, p->beta, &s.args.lo, &s.args.hi);
    memset(s.ring, 0, ring_bytes(p));
    int64_t begin, end;
    fc_share(team, p->n * p->c * p->oh, &begin, &end);
    for (int64_t unit = begin; unit < end;) {
        const int64_t plane = unit / p->oh, channel = plane % p->c, oy = unit % p->oh;
        if (unit == begin || oy == 0)
            for (int64_t k = 0; k < s.slots; k++)
                s.keys[k] = -1;
        s.args.bias = t[3] ? ((const float *)t[3])[channel] : 0.0f;
        unit += run_rows(&s, (float *)t[0] + unit * p->ow, (const float *)t[1] + plane * p->ih * p->iw,
                         (const float *)t[2] + channel * p->kh * p->kw, oy, fc_min(end - unit, p->oh - oy));
    }
    return FC_OK;
}
