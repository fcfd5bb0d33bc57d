/* Depthwise convolution of row-major planes, for nodes whose input and output are row-major anyway: the input rows of a batch of output rows are
 * copied to scratch with their padding around them, and tiles of output rows are summed from those (kernels/depthwise_rows.inc).
 *
 * All rows of a batch are copied before the first of them is computed: what is loaded just after it was stored, in other pieces, would
 * wait for the stores. With a stride of 2 the even and the odd columns are parted on the way, so that all taps load what lies side by side.
 */
#include <string.h>

#include "ops/epilogue.h"
#include "team.h"

enum { BAND_BYTES = 24 * 1024 };    /* half of L1 */

typedef struct layout {
    int64_t tile;            /* output rows of a tile */
    int64_t lead, odd;       /* where input column 0 lies in a row of the band; where the odd columns begin, with a stride of 2 */
    int64_t floats;          /* of a row of the band, in whole vectors */
    int64_t batch, rows;     /* output rows of a batch, and the input rows they see */
    fc_depthwise_rows_kernel many, one;
} layout;

typedef struct run {
    const fc_depthwise_planes *p;
    const layout *l;
    fc_depthwise_rows_args args;
    float *band;
} run;

static int64_t whole_vectors(int64_t n) { return (n + FC_MAX_VECTOR - 1) / FC_MAX_VECTOR * FC_MAX_VECTOR; }

static layout layout_of(const fc_depthwise_planes *p)
{
    const fc_depthwise_rows_kernels *k = fc_active->depthwise_rows;
    const int square = p->kh == p->kw && (p->kw == 3 || p->kw == 5 || p->kw == 7) && p->dh == 1 && p->dw == 1 && p->sh == p->sw;
    const int64_t shape = square ? (p->kw - 3) / 2 : 0, reach = (p->kh - 1) * p->dh + 1, seen = whole_vectors(p->ow);
    layout l = {.tile = square ? k->tile_rows : 1, .many = square ? k->tile[shape][p->sw - 1] : k->any,
                .one = square ? k->row[shape][p->sw - 1] : k->any};
    if (p->sw == 1) {
        l.lead = whole_vectors(p->pl);
        l.floats = whole_vectors(fc_max(l.lead + p->iw, l.lead - p->pl + seen + (p->kw - 1) * p->dw));
    } else {
        const int64_t half = fc_max(seen + (p->kw - 1) * p->dw / 2 + 1, (p->pl + p->iw) / 2 + 1 + FC_MAX_VECTOR);
        l.odd = whole_vectors(half);
        l.floats = 2 * l.odd;
    }
    const int64_t fit = (BAND_BYTES / (l.floats * (int64_t)sizeof(float)) - reach) / p->sh + 1;
    l.batch = fc_max(1, fc_min(fit, p->oh) / l.tile) * l.tile;
    l.rows = (l.batch - 1) * p->sh + reach;
    return l;
}

static size_t band_bytes(const layout *l) { return fc_align_up((size_t)(l->rows * l->floats) * sizeof(float)); }

size_t fc_scratch_depthwise_planes(const void *params, int threads)
{
    const layout l = layout_of(params);
    (void)threads;
    return band_bytes(&l);
}

/* Input rows [top, top + count) of plane x to the band, zeros where they lie outside. The zeros beside them stay, whatever rows came before. */
static void fill_band(const run *s, const float *x, int64_t top, int64_t count)
{
    const fc_depthwise_planes *p = s->p;
    const layout *l = s->l;
    const int64_t begin = fc_min(fc_max(-top, 0), count), end = fc_max(begin, fc_min(count, p->ih - top)), half = p->pl / 2;
    memset(s->band, 0, (size_t)(begin * l->floats) * sizeof(float));
    memset(s->band + end * l->floats, 0, (size_t)((count - end) * l->floats) * sizeof(float));
    if (begin == end)
        return;
    float *band = s->band + begin * l->floats;
    const size_t ld = (size_t)l->floats, width = (size_t)p->iw, rows = (size_t)(end - begin);
    x += (top + begin) * p->iw;
    if (p->sw == 1)
        fc_active->depthwise_rows->copy(band + l->lead, ld, x, width, rows, width);
    else if (p->pl % 2 == 0)
        fc_active->depthwise_rows->part(band + half, band + l->odd + half, ld, x, width, rows, width);
    else                     /* column 0 is an odd one, counted from the padding */
        fc_active->depthwise_rows->part(band + l->odd + half, band + half + 1, ld, x, width, rows, width);
}

/* A tile of output rows of a plane, from oy on; the band begins with the rows that row `first` sees. */
static void run_tile(run *s, float *y, int64_t first, int64_t oy, fc_depthwise_rows_kernel kernel)
{
    const fc_depthwise_planes *p = s->p;
    s->args.x = s->band + (oy - first) * p->sh * s->l->floats + (p->sw == 1 ? s->l->lead - p->pl : 0);
    s->args.y = y + oy * p->ow;
    kernel(&s->args);
}

/* Output rows [begin, end) of one plane. A tile that would not be full begins earlier, if there are as many rows. */
static void run_plane(run *s, float *y, const float *x, int64_t begin, int64_t end)
{
    const fc_depthwise_planes *p = s->p;
    const layout *l = s->l;
    for (int64_t next = begin; next < end;) {
        const int64_t first = fc_max(begin, fc_min(next, end - l->tile)), last = fc_min(end, first + l->batch);
        fill_band(s, x, first * p->sh - p->pt, (last - first - 1) * p->sh + (p->kh - 1) * p->dh + 1);
        for (int64_t oy = first; oy < last; oy += l->tile)
            if (last - first >= l->tile)
                run_tile(s, y, first, fc_min(oy, last - l->tile), l->many);
            else
                for (int64_t row = oy; row < last; row++)
                    run_tile(s, y, first, row, l->one);
        next = last;
    }
}

fc_status fc_run_depthwise_planes(const void *params, void *const *t, const fc_team *team)
{
    const fc_depthwise_planes *p = params;
    const layout l = layout_of(p);
    run s = {.p = p, .l = &l, .band = team->scratch};
    s.args = (fc_depthwise_rows_args){.ldy = (size_t)p->ow, .x_row = (size_t)(p->dh * l.floats), .kh = (size_t)p->kh, .kw = (size_t)p->kw,
                                      .sw = (size_t)p->sw, .dw = (size_t)p->dw, .odd = (size_t)l.odd, .count = (size_t)p->ow};
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
