/* A 1x1 convolution and the depthwise convolution that reads it, without the wide tensor between them in memory.
 *
 * For each panel of channels a band of expanded rows stays in cache: as many as a block of output rows needs. What the next block
 * needs again is moved to the front, only new rows are computed. Both halves are the ordinary steps, called on the band:
 *
 *     x [ih][iw][ic]  --conv-->  band [rows][iw][width]  --depthwise-->  y [oh][ow][width of c]
 */
#include <string.h>

#include "../team.h"
#include "epilogue.h"

static int64_t width_of(const fc_expand_depthwise *p) { return p->nv * fc_active->vector_length; }

static int64_t band_rows_of(const fc_expand_depthwise *p)
{
    return fc_min(p->ih, (p->block - 1) * p->sh + (p->kh - 1) * p->dh + 1);
}

/* The 1x1 half over `rows` rows into the band, `n` channels of one panel. */
static fc_conv expand_params(const fc_expand_depthwise *p, int64_t rows, int64_t n)
{
    return (fc_conv){.n = 1, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .ih = 1, .iw = rows * p->iw, .oh = 1,
                     .ow = rows * p->iw, .x_pixel = p->x_pixel, .y_pixel = width_of(p), .groups = 1, .ic = p->ic, .oc = n,
                     .fn = p->expand_fn, .alpha = p->expand_alpha, .beta = p->expand_beta, .nv = p->nv, .block = rows * p->iw};
}

/* The depthwise half from a band of `rows` rows that starts `above` rows after the first window's top. */
static fc_depthwise depthwise_params(const fc_expand_depthwise *p, int64_t rows, int64_t above, int64_t out_rows, int64_t n)
{
    const int64_t width = width_of(p);
    return (fc_depthwise){.n = 1, .kh = p->kh, .kw = p->kw, .sh = p->sh, .sw = p->sw, .dh = p->dh, .dw = p->dw, .pt = above,
                          .pl = p->pl, .ih = rows, .iw = p->iw, .oh = out_rows, .ow = p->ow, .x_row = p->iw * width,
                          .x_pixel = width, .y_row = p->y_row, .y_pixel = p->y_pixel, .c = n, .fn = p->fn, .alpha = p->alpha,
                          .beta = p->beta};
}

static size_t band_bytes(const fc_expand_depthwise *p)
{
    return fc_align_up((size_t)(band_rows_of(p) * p->iw * width_of(p)) * sizeof(float));
}

size_t fc_scratch_expand_depthwise(const void *params, int threads)
{
    const fc_expand_depthwise *p = params;
    const fc_conv expand = expand_params(p, band_rows_of(p), width_of(p));
    size_t most = fc_scratch_conv(&expand, threads);
    for (int64_t rows = 1; rows <= p->block; rows++) {
        const fc_depthwise half = depthwise_params(p, band_rows_of(p), p->pt, rows, width_of(p));
        const size_t bytes = fc_scratch_depthwise(&half, threads);
        most = bytes > most ? bytes : most;
    }
    return band_bytes(p) + fc_align_up(most);
}

/* Output rows [begin, end) of panel q of one image. */
static void run_panel(const fc_expand_depthwise *p, void *const *t, const fc_team *alone, float *band, int64_t image, int64_t q,
                      int64_t begin, int64_t end)
{
    const int64_t width = width_of(p), c0 = q * width, n = fc_min(width, p->c - c0), row = p->iw * width;
    const float *x = (const float *)t[1] + image * p->x_image;
    const float *expand_bias = t[3], *bias = t[5];
    int64_t have0 = 0, have1 = 0;
    for (int64_t oy = begin; oy < end; oy += p->block) {
        const int64_t out_rows = fc_min(p->block, end - oy), top = oy * p->sh - p->pt;
        const int64_t need0 = fc_max(top, 0), need1 = fc_min(p->ih, top + (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1);
        const int64_t kept = fc_max(0, have1 - need0), fresh = fc_max(need0, have1);
        if (kept > 0)
            memmove(band, band + (need0 - have0) * row, (size_t)(kept * row) * sizeof *band);
        have0 = need0;
        have1 = fc_max(need1, have1);
        if (need1 > fresh) {
            const fc_conv expand = expand_params(p, need1 - fresh, n);
            void *const operands[] = {band + (fresh - need0) * row, (void *)(x + fresh * p->x_row),
                                      (float *)t[2] + c0 * p->ic, expand_bias ? (void *)(expand_bias + c0) : NULL, NULL, NULL};
            fc_run_conv(&expand, operands, alone);
        }
        const fc_depthwise half = depthwise_params(p, have1 - need0, need0 - top, out_rows, n);
        void *const operands[] = {(float *)t[0] + image * p->y_image + oy * p->y_row + c0, band,
                                  (float *)t[4] + c0 * p->kh * p->kw, bias ? (void *)(bias + c0) : NULL, NULL, NULL};
        fc_run_depthwise(&half, operands, alone);
    }
}

/* Threads share panels where those divide evenly enough, else output rows: the rows at the seam are then expanded twice. */
fc_status fc_run_expand_depthwise(const void *params, void *const *t, const fc_team *team)
{
    const fc_expand_depthwise *p = params;
    char *scratch = team->scratch;
    void *rest = scratch + band_bytes(p);
    const fc_team alone = {.id = 0, .count = 1, .barrier = NULL, .scratch = rest, .shared = rest};
    const int64_t panels = fc_ceil_div(p->c, width_of(p)), units = p->n * panels;
    const int by_panels = units % team->count == 0 || units >= 8 * team->count;
    int64_t begin = 0, end = units, row0 = 0, row1 = p->oh;
    if (by_panels)
        fc_share(team, units, &begin, &end);
    else
        fc_share(team, p->oh, &row0, &row1);
    for (int64_t unit = begin; unit < end; unit++)
        run_panel(p, t, &alone, (float *)(void *)scratch, unit / panels, unit % panels, row0, row1);
    return FC_OK;
}
