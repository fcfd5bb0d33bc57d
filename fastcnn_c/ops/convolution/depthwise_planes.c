/* Depthwise convolution of row-major planes, for nodes whose input and output are row-major anyway: the input rows of a batch of output rows are
 * copied to scratch with their padding around them, and tiles of output rows are summed from those (kernels/depthwise_rows.inc). Where an
 * output row is one vector, 3x3 with a stride of 2 is summed straight from the plane (kernels/depthwise_plane.inc).
 *
 * All rows of a batch are copied before the first of them is computed: what is loaded just after it was stored, in other pieces, would
 * wait for the stores.
 */
#include "ops/epilogue.h"
#include "planes_band.h"
#include "team.h"

enum { BAND_BYTES = 24 * 1024 };    /* half of L1 */

typedef struct layout {
    planes_depthwise kernels;
    planes_window window;
    planes_row row;
    int64_t batch, rows;     /* output rows of a batch, and the input rows they see */
} layout;

typedef struct run {
    const fc_depthwise_planes *p;
    const layout *l;
    fc_depthwise_rows_args args;
    float *band;
} run;

static layout layout_of(const fc_depthwise_planes *p)
{
    const int64_t reach = (p->kh - 1) * p->dh + 1;
    layout l = {.window = {.kw = p->kw, .sw = p->sw, .dw = p->dw, .pl = p->pl, .ih = p->ih, .iw = p->iw, .ow = p->ow}};
    l.kernels = planes_depthwise_of(l.window, p->kh, p->sh, p->dh);
    l.row = planes_row_of(l.window);
    const int64_t fit = (BAND_BYTES / (l.row.floats * (int64_t)sizeof(float)) - reach) / p->sh + 1;
    l.batch = fc_max(1, fc_min(fit, p->oh) / l.kernels.tile) * l.kernels.tile;
    l.rows = (l.batch - 1) * p->sh + reach;
    return l;
}

static size_t band_bytes(const layout *l) { return fc_align_up((size_t)(l->rows * l->row.floats) * sizeof(float)); }

size_t fc_scratch_depthwise_planes(const void *params, int threads)
{
    const layout l = layout_of(params);
    (void)threads;
    return band_bytes(&l);
}

/* Output rows [begin, end) of one plane. A batch with too few rows for a tile begins earlier, if there are as many. */
static void run_plane(run *s, float *y, const float *x, int64_t begin, int64_t end)
{
    const fc_depthwise_planes *p = s->p;
    const layout *l = s->l;
    for (int64_t next = begin; next < end;) {
        const int64_t first = fc_max(begin, fc_min(next, end - l->kernels.tile)), last = fc_min(end, first + l->batch);
        planes_fill(l->window, &l->row, s->band, x, first * p->sh - p->pt, (last - first - 1) * p->sh + (p->kh - 1) * p->dh + 1);
        planes_depthwise_run(&l->kernels, &s->args, y + first * p->ow, s->band + planes_column(l->window, &l->row, 0), p->sh * l->row.floats,
                             last - first);
        next = last;
    }
}

/* Which column of a row each lane of a tap is, and whether it lies inside. */
typedef struct plane_columns {
    int32_t from[3 * FC_MAX_VECTOR];
    float inside[3 * FC_MAX_VECTOR];
} plane_columns;

static plane_columns columns_of(const fc_depthwise_planes *p)
{
    plane_columns c = {{0}, {0}};
    for (int64_t k = 0; k < 3; k++)
        for (int64_t j = 0; j < FC_MAX_VECTOR; j++) {
            const int64_t column = 2 * j + k - p->pl;
            if (column >= 0 && column < p->iw) {
                c.from[k * FC_MAX_VECTOR + j] = (int32_t)column;
                c.inside[k * FC_MAX_VECTOR + j] = 1.0f;
            }
        }
    return c;
}

/* Whether the output rows are single vectors of such a window. */
static int is_narrow(const fc_depthwise_planes *p)
{
    const int64_t vector = fc_active->vector_length;
    return p->kh == 3 && p->kw == 3 && p->sh == 2 && p->sw == 2 && p->dh == 1 && p->dw == 1 && p->ow <= vector && p->iw <= 2 * vector;
}

static fc_status run_narrow(const fc_depthwise_planes *p, void *const *t, const fc_team *team)
{
    const plane_columns columns = columns_of(p);
    fc_depthwise_plane_args a = {.ih = p->ih, .iw = (size_t)p->iw, .count = (size_t)p->ow, .from = columns.from, .inside = columns.inside};
    fc_clamp_bounds(p->fn, p->alpha, p->beta, &a.lo, &a.hi);
    int64_t begin, end;
    fc_share(team, p->n * p->c * p->oh, &begin, &end);
    while (begin < end) {
        const int64_t plane = begin / p->oh, channel = plane % p->c, row = begin % p->oh, rows = fc_min(p->oh - row, end - begin);
        a.bias = t[3] ? ((const float *)t[3])[channel] : 0.0f;
        a.w = (const float *)t[2] + channel * 9;
        a.x = (const float *)t[1] + plane * p->ih * p->iw;
        a.y = (float *)t[0] + begin * p->ow;
        a.top = row * 2 - p->pt;
        a.rows = (size_t)rows;
        fc_active->depthwise_rows->plane(&a);
        begin += rows;
    }
    return FC_OK;
}

fc_status fc_run_depthwise_planes(const void *params, void *const *t, const fc_team *team)
{
    const fc_depthwise_planes *p = params;
    if (is_narrow(p))
        return run_narrow(p, t, team);
    const layout l = layout_of(p);
    run s = {.p = p, .l = &l, .band = team->scratch};
    s.args = (fc_depthwise_rows_args){.ldy = (size_t)p->ow, .x_row = (size_t)(p->dh * l.row.floats), .kh = (size_t)p->kh, .kw = (size_t)p->kw,
                                      .sw = (size_t)p->sw, .dw = (size_t)p->dw, .odd = (size_t)l.row.odd, .count = (size_t)p->ow};
    fc_clamp_bounds(p->fn, p->alpha, p->beta, &s.args.lo, &s.args.hi);
    memset(s.band, 0, band_bytes(&l));
    int64_t begin, end;
    fc_share(team, p->n * p->c * p->oh, &begin, &end);
    while (begin < end) {
        const int64_t plane = begin / p->oh, channel = plane % p->c, row = begin % p->oh, rows = fc_min(p->oh - row, end - begin);
        s.args.bias = t[3] ? ((const float *)t[3])[channel] : 0.0f;
        s.args.w = (const float *)t[2] + channel * p->kh * p->kw;
        run_plane(&s, (float *)t[0] + plane * p->oh * p->ow, (const float *)t[1] + plane * p->ih * p->iw, row, row + rows);
        begin += rows;
    }
    return FC_OK;
}
