/* Pooling of clamp(x * scale + shift), a pair per channel: a normalisation, its activation and the pooling that
 * alone reads them. For each output row what its windows cover is written to a strip of `block` channels in L1, on which the
 * pooling step runs as on an image whose first row is the strip's.
 */
#include "kernels/kernels.h"
#include "team.h"

static int64_t covered_rows(const fc_affine_pool *p) { return (p->kh - 1) * p->dh + 1; }

size_t fc_scratch_affine_pool(const void *params, int threads)
{
    (void)threads;
    const fc_affine_pool *p = params;
    return fc_align_up((size_t)(covered_rows(p) * p->iw * p->block) * sizeof(float));
}

/* Rows [top, end) of channels [c0, c0 + n) to the strip. */
static void fill_strip(const fc_affine_pool *p, float *strip, const float *x, const float *affine, int64_t top, int64_t end, int64_t c0,
                       int64_t n)
{
    for (int64_t row = top; row < end; row++) {
        const fc_affine_args args = {.y = strip + (row - top) * p->iw * n, .y_pixel = (size_t)n, .x = x + row * p->x_row + c0,
                                     .x_pixel = (size_t)p->x_pixel, .count = (size_t)p->iw, .n = (size_t)n, .scale = affine + c0,
                                     .shift = affine + p->c + c0, .lo = affine[2 * p->c], .hi = affine[2 * p->c + 1],
                                     .rounds = affine[2 * p->c + 2] != 0.0f};
        fc_active->norm->affine(&args);
    }
}

/* Output row oy of n channels from a strip whose first row is row `top` of the image. */
static void pool_strip(const fc_affine_pool *p, float *y, float *strip, int64_t oy, int64_t top, int64_t n)
{
    const fc_pool pool = {.n = 1, .kh = p->kh, .kw = p->kw, .sh = p->sh, .sw = p->sw, .dh = p->dh, .dw = p->dw,
                          .pt = p->pt - oy * p->sh + top, .pl = p->pl, .ih = p->ih - top, .iw = p->iw, .oh = 1, .ow = p->ow,
                          .x_row = p->iw * n, .x_pixel = n, .y_pixel = p->y_pixel, .c = n, .kind = p->kind,
                          .include_pad = p->include_pad, .pb = p->pb, .pr = p->pr, .p = p->p};
    void *const operands[FC_MAX_OPERANDS] = {y, strip};
    const fc_team alone = {.id = 0, .count = 1};
    fc_run_pool(&pool, operands, &alone);
}

/* Threads share output rows. */
fc_status fc_run_affine_pool(const void *params, void *const *t, const fc_team *team)
{
    const fc_affine_pool *p = params;
    int64_t begin, end;
    fc_share(team, p->n * p->oh, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const int64_t image = i / p->oh, oy = i % p->oh, start = oy * p->sh - p->pt;
        const int64_t top = fc_min(fc_max(start, 0), p->ih), bottom = fc_min(start + covered_rows(p), p->ih);
        float *y = (float *)t[0] + image * p->y_image + oy * p->y_row;
        for (int64_t c0 = 0; c0 < p->c; c0 += p->block) {
            const int64_t n = fc_min(p->block, p->c - c0);
            fill_strip(p, team->scratch, (const float *)t[1] + image * p->x_image, t[2], top, bottom, c0, n);
            pool_strip(p, y + c0, team->scratch, oy, top, n);
        }
    }
    return FC_OK;
}
