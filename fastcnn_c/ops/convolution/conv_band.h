/* The band of a convolution: the input rows that a block of output rows needs, copied to scratch with zeros around them, one group after the
 * other. So the tile has no border test and its pixels are dense, whatever lies in memory: pixels, planes, two groups interleaved.
 */
#ifndef FC_CONV_BAND_H
#define FC_CONV_BAND_H

#include <string.h>

#include "kernels/kernels.h"
#include "team.h"

/* Rows of the tallest tile for all panels of oc columns, nv vectors wide; halves: as of the step conv. */
static inline int64_t fc_gemm_rows(int64_t nv, int64_t oc, int64_t halves)
{
    const fc_gemm_kernels *gemm = fc_active->gemm;
    const int64_t v = fc_active->vector_length, vectors = fc_ceil_div(oc, v), widest = fc_min(nv, vectors);
    const int parted = halves && gemm->halves_mr && widest == 2 && vectors == 2 && 2 * oc <= 3 * v;
    return parted ? gemm->halves_mr : gemm->max_mr[widest];
}

/* Floats of a pixel that one group reads: of both groups where two are interleaved. */
static inline int64_t group_floats(const fc_conv *p) { return p->interleaved ? 2 * p->ic : p->ic; }
static inline int64_t band_width(const fc_conv *p) { return (p->ow - 1) * p->sw + (p->kw - 1) * p->dw + 1; }
static inline int64_t band_rows(const fc_conv *p, int64_t out_rows) { return (out_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1; }

/* Channels lie in planes, row-major, ih rows of one after the other: what models are fed. */
static inline int reads_planes(const fc_conv *p) { return p->ic > 1 && p->groups == 1 && p->x_pixel == 1; }

/* count pixels of group g to the band, as they are, interleaved from planes, two groups interleaved, or scaled, shifted and clamped. */
static inline void copy_pixels(const fc_conv *p, float *band, const float *x, int64_t count, int64_t g, const float *affine)
{
    const size_t channels = (size_t)p->ic;
    if (affine && !reads_planes(p)) {
        const float *scale = affine + g * p->ic, *limits = affine + 2 * p->groups * p->ic;
        const fc_affine_args args = {.y = band, .y_pixel = channels, .x = x, .x_pixel = (size_t)p->x_pixel, .count = (size_t)count,
                                     .n = channels, .scale = scale, .shift = scale + p->groups * p->ic, .lo = limits[0], .hi = limits[1],
                                     .rounds = limits[2] != 0.0f};
        fc_active->norm->affine(&args);
    } else if (reads_planes(p) && p->ic == 3) {
        fc_active->transpose->interleave3(band, x, (size_t)(p->ih * p->x_row), (size_t)count);
    } else if (reads_planes(p)) {
        fc_active->transpose->block(band, channels, x, (size_t)(p->ih * p->x_row), channels, (size_t)count);
    } else if (p->interleaved) {
        fc_active->transpose->interleave_groups(band, 2 * channels, x, (size_t)p->x_pixel, (size_t)count, channels);
    } else if (p->x_pixel == p->ic) {
        memcpy(band, x, (size_t)count * channels * sizeof *band);
    } else {
        fc_active->depthwise->put(band, channels, x, (size_t)p->x_pixel, (size_t)count, channels);
    }
    if (affine && reads_planes(p)) {
        const fc_round_sum_args args = {.a_factor = affine[0], .b_factor = 0.0f, .lo = affine[2 * p->ic], .hi = affine[2 * p->ic + 1]};
        fc_active_bytes->round_sum(band, band, band, (size_t)count * channels, &args);
    }
}

/* Input row iy of one group of image x to one band row, zeros where it lies outside. */
static inline void fill_band_row(const fc_conv *p, float *band, const float *x, int64_t iy, int64_t g, const float *affine)
{
    const int64_t width = band_width(p), channels = group_floats(p);
    if (iy < 0 || iy >= p->ih) {
        memset(band, 0, (size_t)(width * channels) * sizeof *band);
        return;
    }
    const int64_t begin = fc_min(fc_max(p->pl, 0), width), end = fc_max(begin, fc_min(width, p->iw + p->pl));
    const float *row = x + iy * p->x_row + (begin - p->pl) * p->x_pixel;
    memset(band, 0, (size_t)(begin * channels) * sizeof *band);
    copy_pixels(p, band + begin * channels, row, end - begin, g, affine);
    memset(band + end * channels, 0, (size_t)((width - end) * channels) * sizeof *band);
}

/* The input rows of output rows [oy, oy + rows) of image x. affine: scales, shifts and bounds that x goes through, or NULL. before: so many output
 * rows above these were the band's until now, 0: others; the input rows that both need are moved to its top. */
static inline void fill_band(const fc_conv *p, float *band, const float *x, int64_t oy, int64_t rows, int64_t before, const float *affine)
{
    const int64_t count = band_rows(p, rows), first = oy * p->sh - p->pt, row = band_width(p) * group_floats(p);
    const int64_t kept = before ? fc_max(band_rows(p, 1) - p->sh, 0) : 0;
    for (int64_t g = 0; g < p->groups; g++) {
        float *rows_of_group = band + g * band_rows(p, p->block) * row;
        if (kept)
            memmove(rows_of_group, rows_of_group + before * p->sh * row, (size_t)(kept * row) * sizeof *band);
        for (int64_t k = kept; k < count; k++)
            fill_band_row(p, rows_of_group + k * row, x + g * group_floats(p), first + k, g, affine);
    }
}

#endif
