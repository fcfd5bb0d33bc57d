/* Convolution by explicit im2col: the readable definition; what tuning times beside the conv step.
 *
 * A block of output pixels becomes the rows of a matrix [pixels][kh*kw*ic] in scratch, multiplied by the packed weights with k
 * cut into blocks of KC: the first block starts from the bias, the last one runs the epilogue.
 */
#include <string.h>

#include "team.h"
#include "ops/epilogue.h"

/* Rows of the matrix at a time: one tile. Columns of k at a time: what keeps a panel of w in L2. */
enum { IM2COL_ROWS = FC_GEMM_MAX_MR, IM2COL_KC = 1024 };

size_t fc_scratch_im2col(const void *params, int threads)
{
    (void)threads;
    const fc_im2col *p = params;
    return fc_align_up((size_t)(IM2COL_ROWS * p->kh * p->kw * p->ic) * sizeof(float));
}

/* One row: the window of output pixel (oy, ox), kernel row by kernel row, zeros outside the image. */
static void gather_window(const fc_im2col *p, float *row, const float *x, int64_t oy, int64_t ox)
{
    for (int64_t r = 0; r < p->kh; r++) {
        const int64_t iy = oy * p->sh - p->pt + r * p->dh;
        for (int64_t s = 0; s < p->kw; s++, row += p->ic) {
            const int64_t ix = ox * p->sw - p->pl + s * p->dw;
            if (iy >= 0 && iy < p->ih && ix >= 0 && ix < p->iw)
                memcpy(row, x + iy * p->x_row + ix * p->x_pixel, (size_t)p->ic * sizeof *row);
            else
                memset(row, 0, (size_t)p->ic * sizeof *row);
        }
    }
}

/* Where the columns [column, ...) of output pixel `pixel`, counted over all images, lie. */
static int64_t place(int64_t pixel, int64_t oh, int64_t ow, int64_t image, int64_t row, int64_t step)
{
    return pixel / (oh * ow) * image + pixel / ow % oh * row + pixel % ow * step;
}

/* y[rows][oc] of one group from matrix a[rows][k]; rows lie in one output row of y. */
static void multiply(const fc_im2col *p, void *const *t, const float *a, int64_t pixel, int64_t rows, int64_t g)
{
    const int64_t v = fc_active->vector_length, nr = p->nv * v, k = p->kh * p->kw * p->ic;
    const float *bias = t[3], *residual = t[4], *slope = t[5];
    const float *w = (const float *)t[2] + g * fc_ceil_div(p->oc, v) * v * k;
    float *y = (float *)t[0] + place(pixel, p->oh, p->ow, p->y_image, p->y_row, p->y_pixel) + g * p->oc;
    if (residual)
        residual += place(pixel, p->oh, p->ow, p->r_image, p->r_row, p->r_pixel) + g * p->oc;
    float lo, hi;
    const fc_tap zero = {0, 0};
    fc_clamp_bounds(slope ? FC_FN_None : p->fn, p->alpha, p->beta, &lo, &hi);
    for (int64_t j0 = 0; j0 < p->oc; j0 += nr) {
        const int64_t n = fc_min(nr, p->oc - j0), nv = fc_ceil_div(n, v);
        for (int64_t k0 = 0; k0 < k; k0 += IM2COL_KC) {
            const int64_t kc = fc_min(IM2COL_KC, k - k0);
            const int last = k0 + kc == k;
            const fc_gemm_args args = {
                .c = y + j0, .ldc = (size_t)p->y_pixel, .a = a + k0, .lda = (size_t)k, .tap = &zero, .taps = 1, .kc = (size_t)kc,
                .b = w + j0 * k + k0 * nv * v, .n = (size_t)n, .bias = k0 == 0 && bias ? bias + g * p->oc + j0 : NULL,
                .residual = last && residual ? residual + j0 : NULL, .ldr = (size_t)p->r_pixel,
                .lo = last ? lo : -INFINITY, .hi = last ? hi : INFINITY, .accumulate = k0 > 0};
            fc_active->gemm->tile[nv][rows](&args);
        }
    }
    if (slope || !fc_is_clamp(p->fn))
        fc_activate_rows(y, rows, (size_t)p->oc, (size_t)p->y_pixel, p->fn, p->alpha, p->beta, slope ? slope + g * p->oc : NULL);
}

fc_status fc_run_im2col(const void *params, void *const *t, const fc_team *team)
{
    const fc_im2col *p = params;
    const int64_t k = p->kh * p->kw * p->ic, max_mr = fc_active->gemm->max_mr[p->nv];
    float *a = team->scratch;
    int64_t begin, end;
    fc_share(team, p->n * p->oh * p->ow, &begin, &end);
    for (int64_t g = 0; g < p->groups; g++) {
        for (int64_t pixel = begin; pixel < end;) {
            const int64_t rows = fc_min(fc_min(max_mr, end - pixel), p->ow - pixel % p->ow);
            const float *x = (const float *)t[1] + pixel / (p->oh * p->ow) * p->x_image + g * p->ic;
            for (int64_t i = 0; i < rows; i++)
                gather_window(p, a + i * k, x, (pixel + i) / p->ow % p->oh, (pixel + i) % p->ow);
            multiply(p, t, a, pixel, rows, g);
            pixel += rows;
        }
    }
    return FC_OK;
}
