/* A dense convolution, the depthwise convolution that reads it, and maybe the 1x1 convolution that reads that: the wide tensors
 * between them never reach memory.
 *
 * For each panel of channels a ring of rows of the first result stays in cache, channel vector by channel vector with the
 * depthwise padding in place, so the depthwise kernels read it as it is. What they make goes to y, or to a block of rows in
 * scratch that the last convolution reads.
 *
 *     x --conv--> ring [vector][rows + a row of zeros][columns][V] --depthwise--> block [rows][ow][c] --1x1--> y [oh][ow][oc]
 */
#include <string.h>

#include "conv_band.h"
#include "team.h"
#include "depthwise.h"
#include "ops/epilogue.h"

typedef struct layout {
    int64_t v, width;          /* vector length; channels of a panel */
    int64_t left, span, ring;  /* padding columns, columns and rows of the ring; slot `ring` is the row of zeros */
    fc_depthwise_tile tile;
    size_t block, rows, rest;  /* where things lie in the scratch after the ring, in bytes */
} layout;

/* One panel of one image. */
typedef struct pass {
    const fc_conv_depthwise *p;
    const layout *l;
    void *const *t;
    const fc_team *alone;
    char *scratch;
    int64_t image, c0, n;
    int64_t have;              /* rows of the first result below this one have been computed, as far as they were needed */
} pass;

static layout layout_of(const fc_conv_depthwise *p)
{
    layout l = {.v = fc_active->vector_length, .left = fc_max(p->pl, 0)};
    l.width = p->first_nv * l.v;
    l.tile = fc_depthwise_tile_of(p->kw, p->sw, p->dw, p->tile_rows);
    l.span = fc_max(l.left + p->iw, (p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1);
    l.ring = (p->block - 1) * p->sh + (p->kh - 1) * p->dh + 1;
    l.block = fc_align_up((size_t)((l.ring + 1) * l.span * l.width) * sizeof(float));
    l.rows = l.block + fc_align_up((size_t)(p->block * p->ow * (p->oc ? p->c : p->y_half ? l.width : 0)) * sizeof(float));
    l.rest = l.rows + fc_align_up((size_t)(p->kh + 1) * sizeof(float *));
    return l;
}

static int64_t plane(const layout *l) { return (l->ring + 1) * l->span * l->v; }
static float *slot(const pass *s, int64_t row) { return (float *)(void *)s->scratch + row * s->l->span * s->l->v; }

/* Rows [from, to) of the first convolution, n channels of one panel, into the ring; what has a band has few weights: one row at a time. */
static fc_conv first_params(const fc_conv_depthwise *p, const layout *l, int64_t from, int64_t to, int64_t n)
{
    const int64_t tiles = fc_ceil_div(p->iw, fc_gemm_rows(p->first_nv, n, p->first_halves));
    return (fc_conv){.n = 1, .kh = p->first_kh, .kw = p->first_kw, .sh = p->first_sh, .sw = p->first_sw, .dh = 1, .dw = 1,
                     .pt = p->first_pt - from * p->first_sh, .pl = p->first_pl, .ih = p->first_ih, .iw = p->first_iw, .oh = to - from,
                     .ow = p->iw, .x_row = p->x_row, .x_pixel = p->x_pixel, .y_row = l->span * l->v, .y_pixel = l->v,
                     .y_gap = plane(l) - l->v, .groups = 1, .ic = p->ic, .oc = n, .fn = p->first_fn, .alpha = p->first_alpha,
                     .beta = p->first_beta, .nv = p->first_nv, .band = p->first_band, .pair = p->first_pair, .halves = p->first_halves,
                     .block = p->first_band ? 1 : (to - from) * tiles};
}

/* The same in bfloat16. A 1x1 window starts at the row's own place in x, so that it meets no padding; one row of it is cut into blocks of pixels. */
static fc_conv_bf16 first_in_bf16(const fc_conv_depthwise *p, const fc_conv *first)
{
    const int64_t skipped = p->first_kh == 1 ? -first->pt : 0, pixels = p->first_kh == 1 && first->oh == 1;
    return (fc_conv_bf16){.n = 1, .kh = first->kh, .kw = first->kw, .sh = first->sh, .sw = first->sw, .dh = 1, .dw = 1, .pt = first->pt + skipped,
                          .pl = first->pl, .ih = first->ih - skipped, .iw = first->iw, .oh = first->oh, .ow = first->ow, .x_row = first->x_row,
                          .x_pixel = first->x_pixel, .y_row = first->y_row, .y_pixel = first->y_pixel, .y_gap = first->y_gap, .groups = 1,
                          .ic = first->ic, .oc = first->oc, .fn = first->fn, .alpha = first->alpha, .beta = first->beta, .nv = first->nv,
                          .block = pixels ? first->ow : first->oh, .x_half = p->x_half};
}

/* The 1x1 convolution of `rows` rows of the block; a skipped connection lies in the ring. */
static fc_conv last_params(const fc_conv_depthwise *p, const layout *l, int64_t rows)
{
    return (fc_conv){.n = 1, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .ih = rows, .iw = p->ow, .oh = rows, .ow = p->ow,
                     .x_row = p->ow * p->c, .x_pixel = p->c, .y_row = p->y_row, .y_pixel = p->y_pixel,
                     .r_row = p->skip ? l->span * l->v : p->r_row, .r_pixel = p->skip ? l->v : p->r_pixel, .groups = 1,
                     .ic = p->c, .oc = p->oc, .fn = p->last_fn, .alpha = p->last_alpha,
                     .beta = p->last_beta, .nv = p->last_nv, .pair = p->last_pair, .halves = p->last_halves,
                     .block = rows * p->ow};
}

/* The same in bfloat16: one long row of pixels where rows follow each other. */
static fc_conv_bf16 last_in_bf16(const fc_conv_depthwise *p, const fc_conv *last)
{
    const int together = last->y_row == last->ow * last->y_pixel && last->r_row == last->ow * last->r_pixel;
    const int64_t rows = together ? 1 : last->oh, pixels = together ? last->oh * last->ow : last->ow;
    return (fc_conv_bf16){.n = 1, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .ih = rows, .iw = pixels, .oh = rows, .ow = pixels,
                          .x_row = last->x_row, .x_pixel = last->x_pixel, .y_row = last->y_row, .y_pixel = last->y_pixel, .r_row = last->r_row,
                          .r_pixel = last->r_pixel, .groups = 1, .ic = last->ic, .oc = last->oc, .fn = last->fn, .alpha = last->alpha,
                          .beta = last->beta, .nv = last->nv, .block = rows == 1 ? pixels : rows, .y_half = p->y_half,
                          .r_half = p->skip ? 0 : p->r_half};
}

size_t fc_scratch_conv_depthwise(const void *params, int threads)
{
    const fc_conv_depthwise *p = params;
    const layout l = layout_of(p);
    const fc_conv first = first_params(p, &l, 0, l.ring, l.width), last = last_params(p, &l, p->last_bf16 ? p->block : 1);
    const fc_conv_bf16 rounded = first_in_bf16(p, &first), rounded_last = last_in_bf16(p, &last);
    const size_t a = p->first_bf16 ? fc_scratch_conv_bf16(&rounded, threads) : fc_scratch_conv(&first, threads);
    const size_t b = p->last_bf16 ? fc_scratch_conv_bf16(&rounded_last, threads) : fc_scratch_conv(&last, threads);
    return l.rest + (a > b ? a : b);
}

/* Compute rows [from, to) of the first result, those that one run of slots holds at a time. */
static void fill_ring(const pass *s, int64_t from, int64_t to)
{
    const fc_conv_depthwise *p = s->p;
    const layout *l = s->l;
    const float *bias = s->t[3];
    while (from < to) {
        const int64_t end = fc_min(to, (from / l->ring + 1) * l->ring);
        const fc_conv first = first_params(p, l, from, end, s->n);
        const int64_t k = p->first_kh * p->first_kw * p->ic, skipped = p->first_bf16 && p->first_kh == 1 ? -first.pt : 0;
        void *const operands[FC_MAX_OPERANDS] = {
            slot(s, from % l->ring) + l->left * l->v, (char *)s->t[1] + (s->image * p->x_image + skipped * p->x_row) * (p->x_half ? 2 : 4),
            (char *)s->t[2] + s->c0 * k * (p->first_bf16 ? 2 : 4), bias ? (void *)(bias + s->c0) : NULL, NULL, s->t[10], s->t[13]};
        if (p->first_bf16) {
            const fc_conv_bf16 rounded = first_in_bf16(p, &first);
            fc_run_conv_bf16(&rounded, operands, s->alone);
        } else
            fc_run_conv(&first, operands, s->alone);
        from = end;
    }
}

/* Output rows [oy, oy + rows) of the depthwise convolution to y, and their means. */
static void depthwise_rows(const pass *s, float *y, int64_t y_row, int64_t y_pixel, int64_t oy, int64_t rows)
{
    const fc_conv_depthwise *p = s->p;
    const layout *l = s->l;
    const float *bias = s->t[5], **pointers = (const float **)(void *)(s->scratch + l->rows);
    fc_depthwise_args a = {.ldy = (size_t)y_row, .y_pixel = (size_t)y_pixel, .rows = pointers, .plane = (size_t)plane(l),
                           .w = (const float *)s->t[4] + s->c0 * p->kh * p->kw, .kh = (size_t)p->kh, .kw = (size_t)p->kw,
                           .sw = (size_t)p->sw, .dw = (size_t)p->dw, .n = (size_t)s->n, .count = (size_t)p->ow,
                           .bias = bias ? bias + s->c0 : NULL};
    fc_clamp_bounds(p->fn, p->alpha, p->beta, &a.lo, &a.hi);
    const float *table = s->t[11];
    a.rounding = fc_rounding_of(p->fn, p->alpha, p->beta, table);
    float *means = s->t[9];
    for (int64_t i = 0; i < rows; i += l->tile.tile_rows) {
        const int64_t count = fc_min(l->tile.tile_rows, rows - i);
        for (int64_t r = 0; r < p->kh + count - 1; r++) {
            const int64_t iy = (oy + i) * p->sh - p->pt + r * p->dh;
            pointers[r] = slot(s, iy >= 0 && iy < p->ih ? iy % l->ring : l->ring);
        }
        a.y = y + i * y_row;
        (count == l->tile.tile_rows ? l->tile.kernel : l->tile.last_row)(&a);
        for (int64_t r = 0; !fc_in_tile(p->fn, table) && r < count; r++)
            fc_activate_rows(a.y + r * y_row, p->ow, (size_t)s->n, (size_t)y_pixel, p->fn, p->alpha, p->beta, table);
        for (int64_t r = 0; means && r < count; r++)
            fc_active->depthwise->mean(means + ((s->image * p->oh + oy + i + r) * p->c + s->c0), a.y + r * y_row, (size_t)y_pixel,
                                       (size_t)p->ow, (size_t)s->n, 1.0f / (float)p->ow);
    }
}

/* The 1x1 convolution of `rows` rows of the block, which are output rows from oy on; of those whose slots follow each other at a time
 * where the ring holds the residual. */
static void last_rows(const pass *s, const float *block, int64_t oy, int64_t rows)
{
    const fc_conv_depthwise *p = s->p;
    const layout *l = s->l;
    const int64_t y_bytes = p->y_half ? 2 : 4, r_bytes = p->r_half ? 2 : 4;
    char *const y = (char *)s->t[0] + s->image * p->y_image * y_bytes, *const given = s->t[8];
    for (int64_t r = 0, count; r < rows; r += count) {
        const int64_t at = (oy + r) % l->ring;
        count = p->skip ? fc_min(rows - r, l->ring - at) : rows;
        char *const outside = given ? given + (s->image * p->r_image + oy * p->r_row) * r_bytes : NULL;
        void *const residual = p->skip ? (char *)(slot(s, at) + l->left * l->v) : outside;
        const fc_conv last = last_params(p, l, count);
        void *const operands[FC_MAX_OPERANDS] = {y + (oy + r) * p->y_row * y_bytes, (float *)block + r * p->ow * p->c, s->t[6], s->t[7],
                                                 residual, s->t[12]};
        if (p->last_bf16) {
            const fc_conv_bf16 rounded = last_in_bf16(p, &last);
            fc_run_conv_bf16(&rounded, operands, s->alone);
        } else
            fc_run_conv(&last, operands, s->alone);
    }
}

/* `rows` rows of the block, n channels a pixel, to output rows from oy on, as bfloat16. */
static void narrow_rows(const pass *s, const float *block, int64_t oy, int64_t rows)
{
    const fc_conv_depthwise *p = s->p;
    uint16_t *y = (uint16_t *)s->t[0] + s->image * p->y_image + oy * p->y_row + s->c0;
    for (int64_t r = 0; r < rows; r++)
        fc_active_pairs()->narrow(y + r * p->y_row, (size_t)p->y_pixel, block + r * p->ow * s->n, (size_t)s->n, (size_t)p->ow, (size_t)s->n, NULL);
}

/* Output rows [oy, oy + rows): all that one block needs. */
static void run_block(pass *s, int64_t oy, int64_t rows)
{
    const fc_conv_depthwise *p = s->p;
    const int64_t top = oy * p->sh - p->pt, need = fc_min(p->ih, top + (rows - 1) * p->sh + (p->kh - 1) * p->dh + 1);
    fill_ring(s, fc_max(s->have, fc_max(top, 0)), need);
    s->have = fc_max(s->have, need);
    float *block = (float *)(void *)(s->scratch + s->l->block);
    if (!p->oc && p->y_half) {
        depthwise_rows(s, block, p->ow * s->n, s->n, oy, rows);
        narrow_rows(s, block, oy, rows);
        return;
    }
    if (!p->oc) {
        depthwise_rows(s, (float *)s->t[0] + s->image * p->y_image + oy * p->y_row + s->c0, p->y_row, p->y_pixel, oy, rows);
        return;
    }
    depthwise_rows(s, block, p->ow * p->c, p->c, oy, rows);
    last_rows(s, block, oy, rows);
}

/* Zeros where no convolution writes: the padding columns and the row of zeros. */
static void clear_padding(const layout *l, float *ring, int64_t iw)
{
    for (int64_t row = 0; row < (l->ring + 1) * (l->width / l->v); row++, ring += l->span * l->v) {
        const int64_t inside = row % (l->ring + 1) == l->ring ? 0 : iw;
        memset(ring, 0, (size_t)(l->left * l->v) * sizeof *ring);
        memset(ring + (l->left + inside) * l->v, 0, (size_t)((l->span - l->left - inside) * l->v) * sizeof *ring);
    }
}

/* Whether threads share panels, which is as even as their number allows, or output rows, of which those at a seam are computed twice.
 *
 * Rows even where they cost a third more: the steps before and after share rows too, and threads that write channels of the same pixels
 * send cache lines to and fro, the more where the channels of a pixel are no whole lines. 56x56, 24 to 72 channels, 3x3 by two panels took
 * 146 us on two threads, on one 126. Against panels wherever their number is even, on two threads: mnasnet1_0 1.10, mobilenet_v3_large
 * 1.04, mobilenet_v2 and efficientnet_b0 1.00 times as fast; a third instead of nothing: another 1.01, 1.01, 1.02 and 1.01
 * (2026-11-21, Xeon, AVX-512).
 */
static int shares_panels(const fc_conv_depthwise *p, const layout *l, int64_t panels, int64_t threads)
{
    const int64_t units = p->n * panels, rows = (fc_ceil_div(p->oh, threads) - 1) * p->sh + (p->kh - 1) * p->dh + 1;
    const int apart = p->oc || p->y_pixel % l->v == 0 || units % (threads * panels) == 0;
    const int64_t by_panels = fc_ceil_div(units, threads) * p->ih, by_rows = units * fc_min(p->ih, rows);
    return 4 * (apart ? 2 : 3) * by_panels <= 3 * 2 * by_rows;
}

fc_status fc_run_conv_depthwise(const void *params, void *const *t, const fc_team *team)
{
    const fc_conv_depthwise *p = params;
    const layout l = layout_of(p);
    void *rest = (char *)team->scratch + l.rest;
    const fc_team alone = {.prefetch = team->prefetch, .id = 0, .count = 1, .barrier = NULL, .scratch = rest, .shared = rest};
    const int64_t panels = fc_ceil_div(p->c, l.width), units = p->n * panels;
    const int by_panels = shares_panels(p, &l, panels, team->count);
    int64_t begin = 0, end = units, row0 = 0, row1 = p->oh;
    if (by_panels)
        fc_share(team, units, &begin, &end);
    else
        fc_share(team, p->oh, &row0, &row1);
    clear_padding(&l, team->scratch, p->iw);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t c0 = unit % panels * l.width;
        pass s = {.p = p, .l = &l, .t = t, .alone = &alone, .scratch = team->scratch, .image = unit / panels, .c0 = c0,
                  .n = fc_min(l.width, p->c - c0)};
        for (int64_t oy = row0; oy < row1; oy += p->block)
            run_block(&s, oy, fc_min(p->block, row1 - oy));
    }
    return FC_OK;
}
