/* RoiAlign and MaxRoiPool: regions of a channels-last image pooled to a fixed number of bins. Threads share regions' bins by rows.
 *
 * The mean over a bin's bilinear samples separates: the weights that rows get from the samples' y times those that columns get from
 * their x. A pixel that several samples read is read once.
 */
#include <math.h>
#include <string.h>

#include "team.h"
#include "kernels/kernels.h"

/* Taps of a kernel call; samples along an axis of a bin past which a region is taken for a mistake. */
enum { ROI_TAPS = 64, ROI_MAX_SAMPLES = 1 << 14 };

/* One axis of a region: where it starts, its bins' size, samples in each. */
typedef struct roi_axis {
    float start, bin;
    int64_t samples, extent;
} roi_axis;

/* Weights of pixels [first, end) of an axis in one bin. */
typedef struct roi_weights {
    float *w;
    int64_t first, end;
} roi_weights;

size_t fc_scratch_roi_align(const void *params, int threads)
{
    (void)threads;
    const fc_roi_align *p = params;
    return fc_align_up((size_t)p->c * sizeof(float)) + fc_align_up((size_t)(p->ih + p->iw) * sizeof(float)) + 2 * ROI_TAPS * sizeof(float);
}

/* The two pixels that a sample at x reads and their weights; 0 where the sample lies outside. */
static int sample_axis(float x, int64_t extent, int64_t at[2], float w[2])
{
    if (!(x >= -1.0f && x <= (float)extent))
        return 0;
    x = fmaxf(x, 0.0f);
    at[0] = fc_min((int64_t)x, extent - 1);
    at[1] = fc_min(at[0] + 1, extent - 1);
    w[1] = at[0] == extent - 1 ? 0.0f : x - (float)at[0];
    w[0] = 1.0f - w[1];
    return 1;
}

static float sample_at(const roi_axis *axis, int64_t bin, int64_t k)
{
    return axis->start + (float)bin * axis->bin + ((float)k + 0.5f) * axis->bin / (float)axis->samples;
}

/* Sums the samples of one bin into weights->w. */
static void weigh_axis(const roi_axis *axis, int64_t bin, roi_weights *weights)
{
    weights->first = axis->extent;
    weights->end = 0;
    memset(weights->w, 0, (size_t)axis->extent * sizeof(float));
    for (int64_t k = 0; k < axis->samples; k++) {
        int64_t at[2];
        float w[2];
        if (!sample_axis(sample_at(axis, bin, k), axis->extent, at, w))
            continue;
        for (int side = 0; side < 2; side++)
            weights->w[at[side]] += w[side];
        weights->first = fc_min(weights->first, at[0]);
        weights->end = fc_max(weights->end, at[1] + 1);
    }
}

/* y[c] = sum of rows' weight times columns' weight times x, scaled; `sum` and taps are scratch. */
static void mean_bin(const fc_roi_align *p, float *y, const float *x, const roi_weights *rows, const roi_weights *columns, float scale,
                     float *sum, int32_t *index)
{
    float *w = (float *)(void *)(index + ROI_TAPS);
    fc_resize_columns_args a = {.y = y, .y_pixel = 0, .x = x, .x_pixel = 1, .index = index, .w = w, .count = 1, .n = (size_t)p->c};
    memset(y, 0, (size_t)p->c * sizeof *y);
    for (int64_t i = rows->first; i < rows->end; i++)
        for (int64_t j = columns->first; j < columns->end; j++) {
            index[a.taps] = (int32_t)(i * p->x_row + j * p->x_pixel);
            w[a.taps++] = rows->w[i] * columns->w[j] * scale;
            if (a.taps < ROI_TAPS && (i + 1 < rows->end || j + 1 < columns->end))
                continue;
            fc_active->resize->columns[0](&a);
            if (a.y == sum)
                fc_active->binary[FC_BIN_Add][FC_VV](y, y, sum, a.n);
            a.y = sum;
            a.taps = 0;
        }
}

/* y[c] = max over samples of the largest of their four weighted pixels; a sample outside counts as 0. */
static void max_bin(const fc_roi_align *p, float *y, const float *x, const roi_axis axes[2], int64_t bin_row, int64_t bin_column)
{
    const int64_t samples = axes[0].samples * axes[1].samples;
    for (int64_t c = 0; c < p->c; c++)
        y[c] = samples > 0 ? -INFINITY : 0.0f;
    for (int64_t k = 0; k < samples; k++) {
        int64_t rows[2] = {0, 0}, columns[2] = {0, 0};
        float wr[2] = {0.0f, 0.0f}, wc[2] = {0.0f, 0.0f};
        const int inside = sample_axis(sample_at(&axes[0], bin_row, k / axes[1].samples), p->ih, rows, wr) &&
                           sample_axis(sample_at(&axes[1], bin_column, k % axes[1].samples), p->iw, columns, wc);
        for (int corner = 0; corner < 4; corner++) {
            const float w = inside ? wr[corner / 2] * wc[corner % 2] : 0.0f;
            const float *from = x + rows[corner / 2] * p->x_row + columns[corner % 2] * p->x_pixel;
            for (int64_t c = 0; c < p->c; c++)
                y[c] = fmaxf(y[c], w * from[c]);
        }
    }
}

/* One axis of region [start, end); 0 when it has more samples than any map needs. */
static int make_axis(const fc_roi_align *p, roi_axis *axis, float start, float end, int64_t bins, int64_t extent)
{
    const float offset = p->half_pixel ? 0.5f : 0.0f;
    axis->start = start * p->scale - offset;
    float size = end * p->scale - offset - axis->start;
    if (!p->half_pixel)
        size = fmaxf(size, 1.0f);
    axis->bin = size / (float)bins;
    axis->extent = extent;
    const float samples = p->sampling > 0 ? (float)p->sampling : ceilf(axis->bin);
    if (!(samples <= (float)ROI_MAX_SAMPLES))
        return 0;
    axis->samples = fc_max((int64_t)samples, 0);
    return 1;
}

fc_status fc_run_roi_align(const void *params, void *const *t, const fc_team *team)
{
    const fc_roi_align *p = params;
    float *sum = team->scratch, *w = (float *)(void *)((char *)sum + fc_align_up((size_t)p->c * sizeof(float)));
    int32_t *index = (int32_t *)(void *)((char *)w + fc_align_up((size_t)(p->ih + p->iw) * sizeof(float)));
    roi_weights rows = {.w = w}, columns = {.w = w + p->ih};
    int64_t begin, end;
    fc_share(team, p->n * p->oh, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const int64_t region = row / p->oh, oh = row % p->oh, image = ((const int64_t *)t[3])[region];
        const float *roi = (const float *)t[2] + region * 4;
        roi_axis axes[2];
        if (image < 0 || image >= p->images || !make_axis(p, &axes[0], roi[1], roi[3], p->oh, p->ih) ||
            !make_axis(p, &axes[1], roi[0], roi[2], p->ow, p->iw))
            return FC_ERR_INDEX;
        const float *x = (const float *)t[1] + image * p->x_image;
        const float scale = 1.0f / (float)fc_max(axes[0].samples * axes[1].samples, 1);
        weigh_axis(&axes[0], oh, &rows);
        for (int64_t ow = 0; ow < p->ow; ow++) {
            float *y = (float *)t[0] + region * p->y_image + oh * p->y_row + ow * p->y_pixel;
            if (p->max) {
                max_bin(p, y, x, axes, oh, ow);
                continue;
            }
            weigh_axis(&axes[1], ow, &columns);
            mean_bin(p, y, x, &rows, &columns, scale, sum, index);
        }
    }
    return FC_OK;
}

/* Pixels [*first, *end) of bin number `bin` along an axis of a region whose rounded ends are start and stop. */
static void bin_range(int64_t bin, int64_t bins, float start, float stop, int64_t extent, int64_t *first, int64_t *end)
{
    const float size = fmaxf(stop - start + 1.0f, 1.0f) / (float)bins, limit = (float)extent;
    *first = (int64_t)fminf(fmaxf(floorf((float)bin * size) + start, 0.0f), limit);
    *end = (int64_t)fminf(fmaxf(ceilf((float)(bin + 1) * size) + start, 0.0f), limit);
}

fc_status fc_run_max_roi_pool(const void *params, void *const *t, const fc_team *team)
{
    const fc_max_roi_pool *p = params;
    int64_t begin, end;
    fc_share(team, p->n * p->oh, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const int64_t region = row / p->oh, oh = row % p->oh;
        const float *roi = (const float *)t[2] + region * 5;
        if (!(roi[0] >= 0.0f && roi[0] < (float)p->images))
            return FC_ERR_INDEX;
        int64_t y0, y1, x0, x1;
        bin_range(oh, p->oh, roundf(roi[2] * p->scale), roundf(roi[4] * p->scale), p->ih, &y0, &y1);
        for (int64_t ow = 0; ow < p->ow; ow++) {
            float *y = (float *)t[0] + region * p->y_image + oh * p->y_row + ow * p->y_pixel;
            bin_range(ow, p->ow, roundf(roi[1] * p->scale), roundf(roi[3] * p->scale), p->iw, &x0, &x1);
            if (y0 >= y1 || x0 >= x1) {
                memset(y, 0, (size_t)p->c * sizeof *y);
                continue;
            }
            const float *x = (const float *)t[1] + (int64_t)roi[0] * p->x_image + y0 * p->x_row + x0 * p->x_pixel;
            const fc_pool_args a = {.y = y, .x = x, .x_row = (size_t)p->x_row, .x_col = (size_t)p->x_pixel, .rows = (size_t)(y1 - y0),
                                    .cols = (size_t)(x1 - x0), .count = 1, .n = (size_t)p->c};
            fc_active->pool->window[FC_POOL_MAX](&a);
        }
    }
    return FC_OK;
}
