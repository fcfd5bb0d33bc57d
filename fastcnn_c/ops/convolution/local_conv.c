/* Locally connected (unshared) convolution: every output position has weights of its own, read once and for all images.
 *
 * A position is a product [images][kh*kw*ic] by [kh*kw*ic][oc] of the register tiles of gemm: rows of the tile are images, the
 * runs of k the pixels of the window that lie inside x. One image makes it a matrix-vector product at the speed of memory.
 */
#include <math.h>

#include "team.h"
#include "ops/epilogue.h"

size_t fc_scratch_local_conv(const void *params, int threads)
{
    (void)threads;
    const fc_local_conv *p = params;
    return fc_align_up((size_t)(p->kh * p->kw) * sizeof(fc_tap));
}

/* The runs of k of the window at (oy, ox) and, in *kc, their length: whole kernel rows where the window lies inside x. */
static size_t list_runs(const fc_local_conv *p, int64_t oy, int64_t ox, fc_tap *taps, size_t *kc)
{
    const int64_t left = ox * p->sw - p->pl, inside = left >= 0 && left + p->kw <= p->iw;
    const int whole = inside && p->dw == 1 && p->x_pixel == p->ic;
    size_t count = 0;
    for (int64_t r = 0; r < p->kh; r++) {
        const int64_t iy = oy * p->sh - p->pt + r * p->dh;
        if (iy < 0 || iy >= p->ih)
            continue;
        for (int64_t s = 0; s < (whole ? 1 : p->kw); s++) {
            const int64_t ix = left + s * p->dw;
            if (ix >= 0 && ix < p->iw)
                taps[count++] = (fc_tap){iy * p->x_row + ix * p->x_pixel, (r * p->kw + s) * p->ic};
        }
    }
    *kc = (size_t)(whole ? p->kw * p->ic : p->ic);
    return count;
}

/* y[image][oc] of one position for all images. */
static void multiply(const fc_local_conv *p, fc_gemm_args args, float *y, const float *x, const float *w, const float *bias)
{
    const int64_t v = fc_active->vector_length, nr = p->nv * v, k = p->kh * p->kw * p->ic;
    for (int64_t j0 = 0; j0 < p->oc; j0 += nr) {
        const int64_t n = fc_min(nr, p->oc - j0), nv = fc_ceil_div(n, v);
        const int64_t tiles = fc_ceil_div(p->n, fc_active->gemm->max_mr[nv]);
        args.b = w + j0 * k;
        args.n = (size_t)n;
        args.bias = bias ? bias + j0 : NULL;
        for (int64_t tile = 0; tile < tiles; tile++) {
            const int64_t i0 = p->n * tile / tiles, mr = p->n * (tile + 1) / tiles - i0;
            args.c = y + i0 * p->y_image + j0;
            args.a = x + i0 * p->x_image;
            fc_active->gemm->tile[nv][mr](&args);
        }
    }
    if (!fc_is_clamp(p->fn))
        fc_activate_rows(y, p->n, (size_t)p->oc, (size_t)p->y_image, p->fn, p->alpha, p->beta, NULL);
}

/* Threads share positions. */
fc_status fc_run_local_conv(const void *params, void *const *t, const fc_team *team)
{
    const fc_local_conv *p = params;
    float *y = t[0];
    const float *x = t[1], *w = t[2], *bias = t[3];
    const int64_t v = fc_active->vector_length, floats = fc_ceil_div(p->oc, v) * v * p->kh * p->kw * p->ic;
    fc_tap *taps = team->scratch;
    fc_gemm_args args = {.ldc = (size_t)p->y_image, .lda = (size_t)p->x_image, .tap = taps};
    fc_clamp_bounds(p->fn, p->alpha, p->beta, &args.lo, &args.hi);
    int64_t begin, end;
    fc_share(team, p->oh * p->ow, &begin, &end);
    for (int64_t at = begin; at < end; at++) {
        const int64_t oy = at / p->ow, ox = at % p->ow;
        args.taps = list_runs(p, oy, ox, taps, &args.kc);
        multiply(p, args, y + oy * p->y_row + ox * p->y_pixel, x, w + at * floats, bias ? bias + at * p->oc : NULL);
    }
    return FC_OK;
}
