/* The second half of a transposed convolution computed as one product: each input pixel has a window of products, one for each tap and
 * output channel, and an output is the sum of what overlapping windows leave on it.
 *
 * Nothing is added into memory: an output row is a few runs of columns that read the same taps, and a run is the sum of as many runs of
 * the product, written once. Columns near an edge, which lack some of them, are summed one by one.
 */
#include "team.h"
#include "ops/epilogue.h"

enum { RUN_FIELDS = 4 };   /* of a row of runs, before its taps */

typedef struct overlap {
    const fc_overlap_add *p;
    const int64_t *runs;
    int64_t fn;             /* what the sum goes through at once */
    const float *bias, *slope;   /* for every phase, one after the other, or NULL */
    int64_t row_step;       /* kernel rows from one that reaches an output row to the next */
    const float **window;   /* where the windows that reach an output row have it */
    int64_t windows;
    const float **term;     /* the runs to add */
} overlap;

static int64_t run_fields(const fc_overlap_add *p) { return RUN_FIELDS + 2 * p->most; }
static int64_t columns_of(const fc_overlap_add *p) { return fc_ceil_div(p->ow, p->sw); }

static size_t pointer_bytes(const fc_overlap_add *p) { return fc_align_up((size_t)(p->kh + p->kh * p->most) * sizeof(float *)); }
static size_t tiled_bytes(const fc_overlap_add *p) { return fc_align_up((size_t)(p->sw * p->oc * p->groups) * sizeof(float)); }

size_t fc_scratch_overlap_add(const void *params, int threads)
{
    const fc_overlap_add *p = params;
    (void)threads;
    return pointer_bytes(p) + 2 * tiled_bytes(p);
}

/* values[channels] for every phase, or NULL where there are none. */
static const float *tiled(const fc_overlap_add *p, const float *values, char *room)
{
    const int64_t n = p->groups * p->oc;
    float *all = (float *)(void *)room;
    for (int64_t i = 0; values && i < p->sw * n; i++)
        all[i] = values[i % n];
    return values ? all : NULL;
}

static overlap overlap_of(const fc_overlap_add *p, void *const *t, char *scratch)
{
    char *rest = scratch + pointer_bytes(p);
    overlap o = {.p = p, .runs = t[2], .fn = t[5] ? FC_FN_None : p->fn, .window = (const float **)(void *)scratch,
                 .bias = tiled(p, t[3], rest), .slope = tiled(p, t[5], rest + tiled_bytes(p))};
    o.term = o.window + p->kh;
    for (o.row_step = 1; o.row_step * p->dh % p->sh;)
        o.row_step++;
    return o;
}

/* The windows of input rows that reach output row oy, each at the taps of that row: from the first kernel row that does, those whose
 * distance is a multiple of the stride. */
static void find_windows(overlap *o, const float *x, int64_t oy)
{
    const fc_overlap_add *p = o->p;
    o->windows = 0;
    int64_t r = 0;
    while (r < o->row_step && (oy + p->pt - r * p->dh) % p->sh)
        r++;
    if (r == o->row_step)
        return;
    int64_t iy = (oy + p->pt - r * p->dh) / p->sh;
    for (; r < p->kh; r += o->row_step, iy -= o->row_step * p->dh / p->sh)
        if (iy >= 0 && iy < p->ih)
            o->window[o->windows++] = x + iy * p->x_row + r * p->kw * p->oc;
}

/* Columns [q0, q1) of a run of group g, all of which have the same inputs: those taps whose columns are there. */
static void add_columns(overlap *o, const int64_t *run, int64_t g, fc_overlap_add_args *a, float *y, const float *residual, int64_t q0,
                        int64_t q1)
{
    const fc_overlap_add *p = o->p;
    a->terms = 0;
    for (int64_t w = 0; w < o->windows; w++)
        for (int64_t k = 0; k < run[3]; k++) {
            const int64_t tap = run[RUN_FIELDS + 2 * k], q = q0 + run[RUN_FIELDS + 2 * k + 1];
            if (q >= 0 && q < p->iw)
                o->term[a->terms++] = o->window[w] + q * p->x_pixel + (g * p->kh * p->kw + tap) * p->oc;
        }
    a->x = o->term;
    a->y = y + q0 * (int64_t)a->y_step;
    a->residual = residual ? residual + q0 * (int64_t)a->r_step : NULL;
    a->count = (size_t)(q1 - q0);
    fc_active->overlap_add->rows(a);
    if (o->slope || !fc_is_clamp(p->fn))
        fc_activate_rows(a->y, q1 - q0, a->n, a->y_step, p->fn, p->alpha, p->beta, o->slope ? o->slope + g * p->oc : NULL);
}

/* Columns [q0, q1) of a run of group g: one by one where some tap lies outside, the others at once. */
static void add_run(overlap *o, const int64_t *run, int64_t g, fc_overlap_add_args *a, float *y, const float *residual, int64_t q0, int64_t q1)
{
    int64_t first = q0, last = q1;
    for (int64_t k = 0; k < run[3]; k++) {
        const int64_t shift = run[RUN_FIELDS + 2 * k + 1];
        first = fc_max(first, -shift);
        last = fc_min(last, o->p->iw - shift);
    }
    first = fc_min(first, q1);
    last = fc_max(last, first);
    for (int64_t q = q0; q < first; q++)
        add_columns(o, run, g, a, y, residual, q, q + 1);
    if (first < last)
        add_columns(o, run, g, a, y, residual, first, last);
    for (int64_t q = last; q < q1; q++)
        add_columns(o, run, g, a, y, residual, q, q + 1);
}

/* Columns [q0, q1) of sw pixels each, all runs and groups, of one output row. */
static void add_row(overlap *o, float *y, const float *residual, int64_t q0, int64_t q1)
{
    const fc_overlap_add *p = o->p;
    fc_overlap_add_args a = {.y_step = (size_t)(p->sw * p->y_pixel), .x_step = (size_t)p->x_pixel, .r_step = (size_t)(p->sw * p->r_pixel)};
    fc_clamp_bounds(o->fn, p->alpha, p->beta, &a.lo, &a.hi);
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t i = 0; i < p->runs; i++) {
            const int64_t *run = o->runs + i * run_fields(p), end = fc_min(q1, run[2]);
            a.n = (size_t)(run[1] * p->oc);
            a.bias = o->bias ? o->bias + g * p->oc : NULL;
            if (q0 < end)
                add_run(o, run, g, &a, y + run[0] * p->y_pixel + g * p->oc, residual ? residual + run[0] * p->r_pixel + g * p->oc : NULL,
                        q0, end);
        }
}

fc_status fc_run_overlap_add(const void *params, void *const *t, const fc_team *team)
{
    const fc_overlap_add *p = params;
    overlap o = overlap_of(p, t, team->scratch);
    const int64_t columns = columns_of(p), rows = p->n * p->oh;
    const int64_t pieces = rows < 4 * team->count ? fc_min(columns, team->count) : 1;   /* of a row: one row alone is shared as well */
    int64_t begin, end;
    fc_share(team, rows * pieces, &begin, &end);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t image = unit / pieces / p->oh, oy = unit / pieces % p->oh, piece = unit % pieces;
        const int64_t q0 = columns * piece / pieces, q1 = columns * (piece + 1) / pieces;
        float *y = (float *)t[0] + image * p->y_image + oy * p->y_row;
        find_windows(&o, (const float *)t[1] + image * p->x_image, oy);
        add_row(&o, y, t[4] ? (const float *)t[4] + image * p->r_image + oy * p->r_row : NULL, q0, q1);
    }
    return FC_OK;
}
