/* Local response normalisation: a few pixels at a time, their squares first (with zeros around them: the window never meets an
 * end), then the sums over them. Pixels in between keep the reads of squares clear of the stores just made. */
#include <string.h>

#include "team.h"
#include "ops/epilogue.h"

enum { PIXELS = 8 };

static int64_t square_stride(const fc_lrn *p) { return (p->c + p->size - 1 + 15) / 16 * 16; }

size_t fc_scratch_lrn(const void *params, int threads)
{
    const fc_lrn *p = params;
    (void)threads;
    return fc_align_up((size_t)(PIXELS * square_stride(p)) * sizeof(float)) +
           fc_align_up((size_t)(PIXELS * p->c) * sizeof(float));
}

/* Exponents without a kernel of their own: y = x / bases^beta. */
static void divide_by_power(const fc_lrn *p, const fc_lrn_args *a, float *bases)
{
    fc_active->binary[FC_BIN_Pow][FC_VS](bases, bases, &p->beta, a->count * a->n);
    for (size_t i = 0; i < a->count; i++)
        fc_active->binary[FC_BIN_Div][FC_VV](a->y + i * a->y_pixel, a->x + i * a->x_pixel, bases + i * a->n, a->n);
}

static void run_pixels(const fc_lrn *p, const float *x, float *y, int64_t count, float *squares, float *bases)
{
    const fc_norm_kernels *kernels = fc_active->norm;
    const int64_t before = (p->size - 1) / 2;
    const int by_roots = p->beta == 0.75f || p->beta == 0.5f || p->beta == 1.0f;
    const size_t ld = (size_t)square_stride(p), n = (size_t)p->c;
    fc_lrn_args a = {.y = y,
                     .y_pixel = (size_t)p->y_pixel,
                     .x = x,
                     .x_pixel = (size_t)p->x_pixel,
                     .count = (size_t)count,
                     .n = n,
                     .squares = squares,
                     .ld = ld,
                     .size = (size_t)p->size,
                     .alpha = p->alpha / (float)p->size,
                     .beta = p->beta,
                     .bias = p->bias};
    kernels->squares(squares + before, ld, x, (size_t)p->x_pixel, (size_t)count, n);
    if (by_roots) {
        kernels->lrn(&a);
        return;
    }
    fc_lrn_args base = a;
    base.y = bases;
    base.y_pixel = n;
    kernels->lrn(&base);
    divide_by_power(p, &a, bases);
}

fc_status fc_run_lrn(const void *params, void *const *t, const fc_team *team)
{
    const fc_lrn *p = params;
    float *squares = team->scratch;
    const size_t bytes = fc_align_up((size_t)(PIXELS * square_stride(p)) * sizeof(float));
    float *bases = squares + bytes / sizeof(float);
    int64_t begin, end;
    memset(squares, 0, bytes);
    fc_share(team, p->n * p->h, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const float *x = (const float *)t[1] + i / p->h * p->x_image + i % p->h * p->x_row;
        float *y = (float *)t[0] + i / p->h * p->y_image + i % p->h * p->y_row;
        for (int64_t j = 0; j < p->w; j += PIXELS)
            run_pixels(p, x + j * p->x_pixel, y + j * p->y_pixel, fc_min(PIXELS, p->w - j), squares, bases);
    }
    return FC_OK;
}
