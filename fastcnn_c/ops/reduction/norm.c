/* LayerNormalization over rows, InstanceNormalization and GroupNormalization over channels-last images.
 *
 * group_norm: an image's pixels are cut into blocks that depend on its size alone; threads take blocks and leave each
 * channel's mean and squared deviations, then the blocks are merged in their order, then the channels of a group. Any number
 * of threads gives the same bits.
 */
#include <math.h>

#include "team.h"
#include "ops/epilogue.h"

enum {
    MAX_BLOCKS = 64,        /* of an image: what bounds the partial sums, and the threads that find work */
    MIN_BLOCK_PIXELS = 128, /* below this, merging costs as much as reading */
    RUN_FLOATS = 4096,      /* 16 KB: what two passes over a run of pixels find in L1 */
};

/* Scale and bias of row i of y, a value for each of its planes. */
static void scale_planes(const fc_layer_norm *p, float *y, int64_t i, const float *scale, const float *bias)
{
    const int64_t count = p->axis / p->plane;
    for (int64_t k = 0; k < count; k++, y += p->plane) {
        const int64_t c = (i * count + k) % p->planes;
        fc_active->scale_shift->one(y, y, scale + c, bias + c, (size_t)p->plane);
    }
}

fc_status fc_run_layer_norm(const void *params, void *const *t, const fc_team *team)
{
    const fc_layer_norm *p = params;
    int64_t rows = 1, begin, end;
    for (int64_t d = 0; d < p->ndim; d++)
        rows *= p->shape[d];
    fc_share(team, rows, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t x = 0, y = 0, rest = i;
        for (int64_t d = p->ndim - 1; d >= 0; d--) {
            x += rest % p->shape[d] * p->x_strides[d];
            y += rest % p->shape[d] * p->y_strides[d];
            rest /= p->shape[d];
        }
        fc_active->norm->layer_norm((float *)t[0] + y, (const float *)t[1] + x, (size_t)p->axis, p->plane ? NULL : t[2],
                                    p->plane ? NULL : t[3], p->epsilon, p->rms != 0);
        if (p->plane)
            scale_planes(p, (float *)t[0] + y, i, t[2], t[3]);
    }
    return FC_OK;
}

static int64_t block_count(const fc_group_norm *p) { return fc_max(1, fc_min(MAX_BLOCKS, p->h * p->w / MIN_BLOCK_PIXELS)); }

static size_t row_bytes(const fc_group_norm *p) { return fc_align_up((size_t)p->c * sizeof(float)); }

/* Thread 0's scratch: mean and squared deviations of every block, then scale and shift of the image. */
size_t fc_scratch_group_norm(const void *params, int threads)
{
    const fc_group_norm *p = params;
    (void)threads;
    return (size_t)(2 * block_count(p) + 2) * row_bytes(p);
}

static float *scratch_row(const fc_group_norm *p, const fc_team *team, int64_t i)
{
    return (float *)(void *)((char *)team->shared + (size_t)i * row_bytes(p));
}

static int64_t block_begin(const fc_group_norm *p, int64_t block) { return p->h * p->w * block / block_count(p); }

/* Pixels from p0 on that lie in one row of the image, and fit in the cache. */
static int64_t run_length(const fc_group_norm *p, int64_t p0, int64_t p1)
{
    return fc_min(fc_min(p1 - p0, p->w - p0 % p->w), fc_max(RUN_FLOATS / p->c, 16));
}

static void block_moments(const fc_group_norm *p, const float *x, int64_t block, const fc_team *team)
{
    const int64_t first = block_begin(p, block), last = block_begin(p, block + 1);
    float *mean = scratch_row(p, team, 2 * block), *m2 = scratch_row(p, team, 2 * block + 1);
    for (int64_t i = first; i < last;) {
        const int64_t run = run_length(p, i, last);
        fc_active->norm->moments(mean, m2, x + i / p->w * p->x_row + i % p->w * p->x_pixel, (size_t)p->x_pixel, (size_t)run,
                                 (size_t)p->c, (size_t)(i - first));
        i += run;
    }
}

/* Mean and variance of a group of channels from all blocks, in double: few values, each weighing much. */
static void group_moments(const fc_group_norm *p, const fc_team *team, int64_t first, double *mean, double *variance)
{
    double count = 0.0, m = 0.0, m2 = 0.0;
    for (int64_t c = first; c < first + p->group; c++)
        for (int64_t b = 0; b < block_count(p); b++) {
            const double own = (double)(block_begin(p, b + 1) - block_begin(p, b));
            const double delta = scratch_row(p, team, 2 * b)[c] - m, all = count + own;
            m += delta * own / all;
            m2 += scratch_row(p, team, 2 * b + 1)[c] + delta * delta * count * own / all;
            count = all;
        }
    *mean = m;
    *variance = m2 / count;
}

/* The same from the pixels, where float32 cannot hold the squares, or the mean leaves nothing of them. */
static void group_moments_wide(const fc_group_norm *p, const float *x, int64_t first, double *mean, double *variance)
{
    const double count = (double)(p->h * p->w * p->group);
    double m = 0.0, m2 = 0.0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < p->h * p->w; i++)
            for (int64_t c = first; c < first + p->group; c++) {
                const double v = (double)x[i / p->w * p->x_row + i % p->w * p->x_pixel + c];
                if (pass == 0)
                    m += v / count;
                else
                    m2 += (v - m) * (v - m) / count;
            }
    *mean = m;
    *variance = m2;
}

/* The groups of this thread: statistics of the image x into y = x * scale + shift. */
static void finish_groups(const fc_group_norm *p, const fc_team *team, const float *x, const float *scale, const float *bias)
{
    float *a = scratch_row(p, team, 2 * block_count(p)), *b = scratch_row(p, team, 2 * block_count(p) + 1);
    int64_t begin, end;
    fc_share(team, p->c / p->group, &begin, &end);
    for (int64_t g = begin; g < end; g++) {
        double mean, variance;
        group_moments(p, team, g * p->group, &mean, &variance);
        if (!fc_plain_moments(mean, variance, (double)p->epsilon))
            group_moments_wide(p, x, g * p->group, &mean, &variance);
        const double inverse = 1.0 / sqrt(variance + (double)p->epsilon);
        for (int64_t c = g * p->group; c < (g + 1) * p->group; c++) {
            const double factor = inverse * (scale ? scale[c] : 1.0);
            a[c] = (float)factor;
            b[c] = (float)((bias ? bias[c] : 0.0) - mean * factor);
        }
    }
}

static void apply_run(const fc_group_norm *p, const fc_affine_args *args)
{
    fc_active->norm->affine(args);
    if (fc_is_clamp(p->fn))
        return;
    const int dense = args->y_pixel == args->n;
    for (size_t i = 0; i < (dense ? 1 : args->count); i++)
        fc_activate_row(args->y + i * args->y_pixel, dense ? args->count * args->n : args->n, p->fn, p->alpha, p->beta, NULL);
}

static void apply_image(const fc_group_norm *p, const float *x, float *y, const fc_team *team)
{
    int64_t begin, end;
    fc_affine_args a = {.y_pixel = (size_t)p->y_pixel,
                        .x_pixel = (size_t)p->x_pixel,
                        .n = (size_t)p->c,
                        .scale = scratch_row(p, team, 2 * block_count(p)),
                        .shift = scratch_row(p, team, 2 * block_count(p) + 1)};
    fc_clamp_bounds(p->fn, p->alpha, p->beta, &a.lo, &a.hi);
    fc_share(team, p->h * p->w, &begin, &end);
    while (begin < end) {
        a.count = (size_t)run_length(p, begin, end);
        a.x = x + begin / p->w * p->x_row + begin % p->w * p->x_pixel;
        a.y = y + begin / p->w * p->y_row + begin % p->w * p->y_pixel;
        apply_run(p, &a);
        begin += (int64_t)a.count;
    }
}

/* Two meetings an image: after the blocks, after scale and shift. The next image's blocks may start while others still apply:
 * they lie elsewhere, and its scale and shift wait for everybody. */
fc_status fc_run_group_norm(const void *params, void *const *t, const fc_team *team)
{
    const fc_group_norm *p = params;
    for (int64_t image = 0; image < p->n; image++) {
        const float *x = (const float *)t[1] + image * p->x_image;
        int64_t begin, end;
        fc_share(team, block_count(p), &begin, &end);
        for (int64_t block = begin; block < end; block++)
            block_moments(p, x, block, team);
        fc_team_wait(team);
        finish_groups(p, team, x, t[2], t[3]);
        fc_team_wait(team);
        apply_image(p, x, (float *)t[0] + image * p->y_image, team);
    }
    return FC_OK;
}
