/* Grouped convolution whose groups are narrower than a vector and have as many outputs as inputs: kernels/grouped.inc.
 *
 * As for depthwise convolution, the input rows that `block` output rows need are copied to bands, a vector of channels each, pixels next
 * to each other, zeros where there is padding: read in place, pixels a power of two apart would push each other out of L1, width times.
 */
#include <string.h>

#include "team.h"
#include "ops/epilogue.h"

enum {
    KW = 3, /* for which there are kernels that load a column once for all outputs */
    TOGETHER = 64, /* channels copied together at most: 4 cache lines a pixel keep the prefetchers going */
};

typedef struct run {
    const fc_grouped *p;
    const float *w, *bias, *residual, *slope;   /* residual, y: of the image */
    float *y, *band;
    float lo, hi;
    const fc_grouped_kernel *tile;   /* by the outputs of a tile */
    int64_t v, tiles;        /* vector length, tiles of an output row */
    int64_t together;        /* vectors copied together */
    int64_t row, plane;      /* elements of a band: of one row, of one vector */
} run;

static int64_t band_rows(const fc_grouped *p, int64_t rows) { return (rows - 1) * p->sh + (p->kh - 1) * p->dh + 1; }
static int64_t band_width(const fc_grouped *p) { return (p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1; }
static int64_t vectors_together(const fc_grouped *p, int64_t v) { return fc_min(fc_max(TOGETHER / v, 1), p->c / v); }

size_t fc_scratch_grouped(const void *params, int threads)
{
    (void)threads;
    const fc_grouped *p = params;
    const int64_t v = fc_active->vector_length;
    return fc_align_up((size_t)(vectors_together(p, v) * band_rows(p, p->block) * band_width(p) * v) * sizeof(float));
}

/* Input rows [first, first + count) of `vectors` vectors of channels of x. */
static void fill_bands(const run *s, const float *x, int64_t first, int64_t count, int64_t vectors)
{
    const fc_grouped *p = s->p;
    const int64_t width = band_width(p), begin = fc_min(fc_max(p->pl, 0), width), end = fc_max(begin, fc_min(width, p->iw + p->pl));
    for (int64_t k = 0; k < count; k++) {
        const int64_t iy = first + k;
        const int inside = iy >= 0 && iy < p->ih;
        const int64_t from = inside ? begin : width, to = inside ? end : width;
        float *row = s->band + k * s->row;
        for (int64_t i = 0; i < vectors; i++) {
            memset(row + i * s->plane, 0, (size_t)(from * s->v) * sizeof *row);
            memset(row + i * s->plane + to * s->v, 0, (size_t)((width - to) * s->v) * sizeof *row);
        }
        if (inside && from < to)
            fc_active->depthwise->band(row + from * s->v, (size_t)s->plane, x + iy * p->x_row + (from - p->pl) * p->x_pixel,
                                       (size_t)p->x_pixel, (size_t)(to - from), (size_t)(vectors * s->v));
    }
}

/* Output row oy of the vector of channels from c on, whose window starts at x. */
static void run_row(const run *s, const float *x, int64_t oy, int64_t c)
{
    const fc_grouped *p = s->p;
    fc_grouped_args args = {
        .y_pixel = (size_t)p->y_pixel, .x_row = (size_t)(p->dh * s->row), .w = s->w + c * p->width * p->kh * p->kw,
        .rows = (size_t)p->kh, .kw = (size_t)p->kw, .sw = (size_t)p->sw, .dw = (size_t)p->dw, .width = (size_t)p->width, .bias = s->bias ? s->bias + c : NULL, .r_pixel = (size_t)p->r_pixel, .lo = s->lo, .hi = s->hi};
    for (int64_t tile = 0; tile < s->tiles; tile++) {
        const int64_t x0 = p->ow * tile / s->tiles, count = p->ow * (tile + 1) / s->tiles - x0;
        args.x = x + x0 * p->sw * s->v;
        args.y = s->y + oy * p->y_row + x0 * p->y_pixel + c;
        args.residual = s->residual ? s->residual + oy * p->r_row + x0 * p->r_pixel + c : NULL;
        s->tile[count](&args);
        if (s->slope || !fc_is_clamp(p->fn))
            fc_activate_rows(args.y, count, (size_t)s->v, (size_t)p->y_pixel, p->fn, p->alpha, p->beta, s->slope ? s->slope + c : NULL);
    }
}

/* Output rows [oy, oy + rows) of vectors [v0, v1) of one image. */
static void run_block(run *s, const float *x, int64_t oy, int64_t rows, int64_t v0, int64_t v1)
{
    const fc_grouped *p = s->p;
    s->plane = band_rows(p, rows) * s->row;
    for (int64_t i = v0; i < v1; i += s->together) {
        const int64_t vectors = fc_min(s->together, v1 - i);
        fill_bands(s, x + i * s->v, oy * p->sh - p->pt, band_rows(p, rows), vectors);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < vectors; k++)
                run_row(s, s->band + k * s->plane + r * p->sh * s->row, oy + r, (i + k) * s->v);
    }
}

/* Threads share output rows, or vectors of channels where those are more. */
fc_status fc_run_grouped(const void *params, void *const *t, const fc_team *team)
{
    const fc_grouped *p = params;
    run s = {.p = p, .w = t[2], .bias = t[3], .slope = t[5], .band = team->scratch, .v = fc_active->vector_length,
             .tiles = fc_ceil_div(p->ow, fc_active->grouped->most)};
    const fc_grouped_kernels *kernels = fc_active->grouped;
    s.tile = p->kw == KW && p->dw == 1 && p->sw <= 2 ? kernels->tile[p->sw - 1] : kernels->any;
    s.together = vectors_together(p, s.v);
    s.row = band_width(p) * s.v;
    fc_clamp_bounds(s.slope ? FC_FN_None : p->fn, p->alpha, p->beta, &s.lo, &s.hi);
    int64_t begin = 0, end = p->n * p->oh, v0 = 0, v1 = p->c / s.v;
    if (end > v1)
        fc_share(team, end, &begin, &end);
    else
        fc_share(team, v1, &v0, &v1);
    while (begin < end) {
        const int64_t image = begin / p->oh, oy = begin % p->oh, rows = fc_min(fc_min(p->block, p->oh - oy), end - begin);
        s.y = (float *)t[0] + image * p->y_image;
        s.residual = t[4] ? (const float *)t[4] + image * p->r_image : NULL;
        run_block(&s, (const float *)t[1] + image * p->x_image, oy, rows, v0, v1);
        begin += rows;
    }
    return FC_OK;
}
