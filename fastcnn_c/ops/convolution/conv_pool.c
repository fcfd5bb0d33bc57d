/* A dense convolution and the pooling that alone reads it: of the map between them only a strip of rows exists, in cache.
 *
 * For a block of output rows the rows of the convolution that their windows cover are computed into the strip, those that the
 * block before has computed already are moved to its top. The pooling step then runs on the strip as on an image whose first
 * row is the strip's.
 *
 *     x --conv--> strip [rows][iw][c] --pool--> y [block][ow][c]
 */
#include <string.h>

#include "kernels/kernels.h"
#include "team.h"

/* The strip of one thread: rows [top, have) of the convolution's result of one image. */
typedef struct strip {
    const fc_conv_pool *p;
    float *rows, *wide;
    void *scratch;             /* of the convolution */
    int64_t image, top, have;
} strip;

static int64_t row_floats(const fc_conv_pool *p) { return p->iw * p->c; }
static int64_t strip_rows(const fc_conv_pool *p, int64_t out_rows) { return (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1; }
static size_t strip_bytes(const fc_conv_pool *p) { return fc_align_up((size_t)(strip_rows(p, p->block) * row_floats(p)) * sizeof(float)); }

/* Output rows of a block as floats, before they are rounded. */
static size_t wide_bytes(const fc_conv_pool *p) { return p->y_half ? fc_align_up((size_t)(p->block * p->ow * p->c) * sizeof(float)) : 0; }

/* Rows [from, to) of the convolution. */
static fc_conv conv_params(const fc_conv_pool *p, int64_t from, int64_t to)
{
    return (fc_conv){.n = 1, .kh = p->first_kh, .kw = p->first_kw, .sh = p->first_sh, .sw = p->first_sw, .dh = 1, .dw = 1,
                     .pt = p->first_pt - from * p->first_sh, .pl = p->first_pl, .ih = p->first_ih, .iw = p->first_iw, .oh = to - from,
                     .ow = p->iw, .x_row = p->x_row, .x_pixel = p->x_pixel, .y_row = row_floats(p), .y_pixel = p->c, .groups = 1,
                     .ic = p->ic, .oc = p->c, .fn = p->fn, .alpha = p->alpha, .beta = p->beta, .nv = p->first_nv, .pair = p->first_pair,
                     .halves = p->first_halves,
                     .band = p->first_band, .block = p->first_block};
}

/* Rows of x that a 1x1 window skips by starting at the row's own place, so that it meets no padding and may be read where it lies. */
static int64_t skipped_rows(const fc_conv *conv) { return conv->kh == 1 && conv->pt < 0 ? -conv->pt : 0; }

/* The same in bfloat16. */
static fc_conv_bf16 conv_in_bf16(const fc_conv_pool *p, const fc_conv *conv)
{
    const int64_t skipped = skipped_rows(conv);
    const int pixels = conv->oh == 1 && p->first_kh == 1 && p->first_kw == 1;
    return (fc_conv_bf16){.n = 1, .kh = conv->kh, .kw = conv->kw, .sh = conv->sh, .sw = conv->sw, .dh = 1, .dw = 1, .pt = conv->pt + skipped,
                          .pl = conv->pl, .ih = conv->ih - skipped, .iw = conv->iw, .oh = conv->oh, .ow = conv->ow, .x_row = conv->x_row,
                          .x_pixel = conv->x_pixel, .y_row = conv->y_row, .y_pixel = conv->y_pixel, .groups = 1, .ic = conv->ic, .oc = conv->oc, .fn = conv->fn,
                          .alpha = conv->alpha, .beta = conv->beta, .nv = conv->nv, .block = pixels ? conv->ow : fc_min(conv->oh, p->first_block),
                          .x_half = p->x_half};
}

/* Output rows [oy, oy + rows) from a strip whose first row is row `top` of the image. */
static fc_pool pool_params(const fc_conv_pool *p, int64_t oy, int64_t rows, int64_t top)
{
    const int64_t y_row = p->y_half ? p->ow * p->c : p->y_row, y_pixel = p->y_half ? p->c : p->y_pixel;
    return (fc_pool){.n = 1, .kh = p->kh, .kw = p->kw, .sh = p->sh, .sw = p->sw, .dh = p->dh, .dw = p->dw, .pt = p->pt - oy * p->sh + top,
                     .pl = p->pl, .ih = p->ih - top, .iw = p->iw, .oh = rows, .ow = p->ow, .x_row = row_floats(p), .x_pixel = p->c,
                     .y_row = y_row, .y_pixel = y_pixel, .c = p->c, .kind = p->kind, .include_pad = p->include_pad, .pb = p->pb,
                     .pr = p->pr, .p = p->p};
}

size_t fc_scratch_conv_pool(const void *params, int threads)
{
    const fc_conv_pool *p = params;
    const fc_conv first = conv_params(p, 0, strip_rows(p, p->block));
    const fc_conv_bf16 rounded = conv_in_bf16(p, &first);
    return strip_bytes(p) + wide_bytes(p) + (p->first_bf16 ? fc_scratch_conv_bf16(&rounded, threads) : fc_scratch_conv(&first, threads));
}

/* The strip to rows [top, end), of which those that it holds are kept. */
static void advance(strip *s, void *const *t, int64_t top, int64_t end)
{
    const fc_conv_pool *p = s->p;
    const int64_t row = row_floats(p), from = fc_max(top, s->have);
    if (s->have > top)
        memmove(s->rows, s->rows + (top - s->top) * row, (size_t)((s->have - top) * row) * sizeof(float));
    s->top = top;
    s->have = fc_max(end, from);
    if (from >= end)
        return;
    const fc_conv first = conv_params(p, from, end);
    const fc_team alone = {.id = 0, .count = 1, .barrier = NULL, .scratch = s->scratch, .shared = s->scratch};
    const int64_t skipped = p->first_bf16 ? skipped_rows(&first) : 0, at = s->image * p->x_image + skipped * p->x_row;
    void *const operands[FC_MAX_OPERANDS] = {s->rows + (from - top) * row, (char *)t[1] + at * (p->x_half ? 2 : 4), t[2],
                                             t[3], NULL, t[4], t[5]};
    if (p->first_bf16) {
        const fc_conv_bf16 rounded = conv_in_bf16(p, &first);
        fc_run_conv_bf16(&rounded, operands, &alone);
    } else
        fc_run_conv(&first, operands, &alone);
}

/* Output rows [oy, oy + rows) of the image. */
static void run_block(strip *s, void *const *t, int64_t oy, int64_t rows)
{
    const fc_conv_pool *p = s->p;
    const int64_t start = oy * p->sh - p->pt, top = fc_min(fc_max(start, 0), p->ih);
    const fc_team alone = {.id = 0, .count = 1};
    advance(s, t, top, fc_min(start + strip_rows(p, rows), p->ih));
    const fc_pool pool = pool_params(p, oy, rows, top);
    const int64_t at = s->image * p->y_image + oy * p->y_row;
    void *const operands[FC_MAX_OPERANDS] = {p->y_half ? s->wide : (float *)t[0] + at, s->rows};
    fc_run_pool(&pool, operands, &alone);
    for (int64_t r = 0; p->y_half && r < rows; r++)
        fc_active_pairs()->narrow((uint16_t *)t[0] + at + r * p->y_row, (size_t)p->y_pixel, s->wide + r * pool.y_row, (size_t)p->c, (size_t)p->ow,
                                  (size_t)p->c, NULL);
}

/* Threads share output rows: those of the convolution that windows of two threads cover are computed twice. */
fc_status fc_run_conv_pool(const void *params, void *const *t, const fc_team *team)
{
    const fc_conv_pool *p = params;
    strip s = {.p = p, .rows = team->scratch, .wide = (float *)(void *)((char *)team->scratch + strip_bytes(p)),
               .scratch = (char *)team->scratch + strip_bytes(p) + wide_bytes(p), .image = -1};
    int64_t begin, end;
    fc_share(team, p->n * p->oh, &begin, &end);
    while (begin < end) {
        const int64_t oy = begin % p->oh, rows = fc_min(fc_min(p->block, p->oh - oy), end - begin);
        if (s.image != begin / p->oh)
            s.top = s.have = 0;
        s.image = begin / p->oh;
        run_block(&s, t, oy, rows);
        begin += rows;
    }
    return FC_OK;
}
