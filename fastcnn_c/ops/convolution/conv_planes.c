/* Convolution of row-major planes to row-major planes, without a change of layout: vectors run along output rows (kernels/planes.inc).
 *
 * The input rows of a block of output rows, of all channels, are copied to scratch with their padding around them (planes_band.h).
 */
#include "ops/epilogue.h"
#include "planes_band.h"
#include "team.h"

static planes_window window_of(const fc_conv_planes *p)
{
    return (planes_window){.kw = p->kw, .sw = p->sw, .dw = p->dw, .pl = p->pl, .ih = p->ih, .iw = p->iw, .ow = p->ow};
}

static int64_t rows_seen(const fc_conv_planes *p, int64_t out_rows) { return (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1; }

static int64_t taps_of(const fc_conv_planes *p) { return p->ic * p->kh * p->kw; }

static int64_t plane_of(const fc_conv_planes *p)
{
    const planes_row l = planes_row_of(window_of(p));
    return planes_apart(&l, rows_seen(p, p->block));
}

static size_t band_bytes(const fc_conv_planes *p) { return fc_align_up((size_t)(p->ic * plane_of(p)) * sizeof(float)); }

size_t fc_scratch_conv_planes(const void *params, int threads)
{
    (void)threads;
    return band_bytes(params) + (size_t)taps_of(params) * sizeof(int64_t);
}

/* Where each tap of an output lies in the band, from its first row and column on. */
static void list_taps(const fc_conv_planes *p, const planes_row *l, int64_t *taps)
{
    const int64_t plane = plane_of(p);
    for (int64_t c = 0; c < p->ic; c++)
        for (int64_t r = 0; r < p->kh; r++)
            for (int64_t s = 0; s < p->kw; s++)
                *taps++ = c * plane + r * p->dh * l->floats + planes_column(window_of(p), l, s * p->dw);
}

fc_status fc_run_conv_planes(const void *params, void *const *t, const fc_team *team)
{
    const fc_conv_planes *p = params;
    const planes_window window = window_of(p);
    const planes_row l = planes_row_of(window);
    const int64_t plane = plane_of(p), x_plane = p->ih * p->iw, y_plane = p->oh * p->ow;
    float *band = team->scratch;
    int64_t *taps = (int64_t *)(void *)((char *)team->scratch + band_bytes(p)), begin, end;
    fc_planes_args args = {.y_plane = (size_t)y_plane, .taps = taps, .k = (size_t)taps_of(p), .w = t[2], .bias = t[3], .oc = (size_t)p->oc,
                           .count = (size_t)p->ow};
    fc_clamp_bounds(p->fn, p->alpha, p->beta, &args.lo, &args.hi);
    fc_share(team, p->n * p->oh, &begin, &end);
    if (begin >= end)
        return FC_OK;
    memset(band, 0, band_bytes(p));
    list_taps(p, &l, taps);
    while (begin < end) {
        const int64_t image = begin / p->oh, oy = begin % p->oh, rows = fc_min(fc_min(p->block, p->oh - oy), end - begin);
        for (int64_t c = 0; c < p->ic; c++)
            planes_fill(window, &l, band + c * plane, (const float *)t[1] + (image * p->ic + c) * x_plane, oy * p->sh - p->pt,
                        rows_seen(p, rows));
        for (int64_t r = 0; r < rows; r++) {
            args.x = band + r * p->sh * l.floats;
            args.y = (float *)t[0] + image * p->oc * y_plane + (oy + r) * p->ow;
            fc_active->planes->rows(&args);
        }
        begin += rows;
    }
    return FC_OK;
}
