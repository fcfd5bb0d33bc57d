/* BatchNormalization in training: the mean and variance of each channel of a batch, and what they make of the running ones.
 *
 * Threads take channels, none waits for another: any number of them gives the same bits. Channels that lie next to each other are summed in
 * short runs by the kernel of group_norm, these merged in double (Chan, Golub & LeVeque, 1979).
 */
#include <math.h>

#include "kernels/kernels.h"
#include "team.h"

enum {
    RUN_FLOATS = 4096,      /* 16 KB: what two passes over a run find in L1 */
    LEAST_RUN = 64,         /* pixels */
};

/* Of a channel so far: how many elements, their mean, the sum of squared deviations from it. */
typedef struct sums {
    double count, mean, m2;
} sums;

/* share: of `count` elements in them and those so far. */
static void merge(sums *s, double count, double share, double mean, double m2)
{
    const double delta = mean - s->mean;
    s->mean += delta * share;
    s->m2 += m2 + delta * delta * s->count * share;
    s->count += count;
}

/* Of the planes of channel c, in two passes; the second is about the mean as a float, whose rounding is known. */
static sums plane_sums(const fc_batch_norm *p, const float *x, int64_t c)
{
    const fc_norm_kernels *k = fc_active->norm;
    const size_t pixels = (size_t)p->pixels, image = (size_t)p->x_image, n = (size_t)p->n;
    sums s = {.count = (double)(p->n * p->pixels)};
    x += c * p->x_channel;
    s.mean = k->sum(x, pixels, image, n, 0.0f, 0) / s.count;
    const float center = (float)s.mean;
    s.m2 = k->sum(x, pixels, image, n, center, 1) - s.count * (s.mean - (double)center) * (s.mean - (double)center);
    return s;
}

/* Of `channels` channels that lie next to each other; runs do not depend on how many there are in this share. */
static void add_pixels(const fc_batch_norm *p, sums *s, const float *x, int64_t channels, float *mean, float *m2)
{
    for (int64_t i = 0; i < p->pixels;) {
        const int64_t count = fc_min(p->pixels - i, fc_max(RUN_FLOATS / p->c, LEAST_RUN));
        fc_active->norm->moments(mean, m2, x + i * p->x_pixel, (size_t)p->x_pixel, (size_t)count, (size_t)channels, 0);
        const double share = (double)count / (s[0].count + (double)count);
        for (int64_t c = 0; c < channels; c++)
            merge(s + c, (double)count, share, (double)mean[c], (double)m2[c]);
        i += count;
    }
}

/* Sum of (x[i*step] - center) * factor, or of the squares times factor, in four parts that do not wait for each other. */
#define DEFINE_WIDE_SUM(dtype, type) \
    static double wide_sum_##dtype(const type *x, int64_t n, int64_t step, double center, double factor, int squares) \
    { \
        double part[4] = {0.0, 0.0, 0.0, 0.0}; \
        for (int64_t i = 0; i < n; i++) { \
            const double d = (double)x[i * step] - center; \
            part[i & 3] += (squares ? d * d : d) * factor; \
        } \
        return part[0] + part[1] + (part[2] + part[3]); \
    }
DEFINE_WIDE_SUM(F32, float)
DEFINE_WIDE_SUM(F64, double)

static double wide_sum(const fc_batch_norm *p, const void *x, int64_t c, double center, double factor, int squares)
{
    double total = 0.0;
    for (int64_t i = 0; i < p->n; i++) {
        const int64_t at = i * p->x_image + c * p->x_channel;
        total += p->dtype == FC_F64 ? wide_sum_F64((const double *)x + at, p->pixels, p->x_pixel, center, factor, squares)
                                    : wide_sum_F32((const float *)x + at, p->pixels, p->x_pixel, center, factor, squares);
    }
    return total;
}

/* All in double: doubles, and floats whose squares float32 cannot hold or whose mean leaves nothing of them. */
static sums wide_sums(const fc_batch_norm *p, const void *x, int64_t c)
{
    sums s = {.count = (double)(p->n * p->pixels)};
    s.mean = wide_sum(p, x, c, 0.0, 1.0 / s.count, 0);
    s.m2 = wide_sum(p, x, c, s.mean, 1.0 / s.count, 1) * s.count;
    return s;
}

static double get(const fc_batch_norm *p, const void *values, int64_t c)
{
    return p->dtype == FC_F64 ? ((const double *)values)[c] : (double)((const float *)values)[c];
}

static void set(const fc_batch_norm *p, void *values, int64_t c, double value)
{
    if (p->dtype == FC_F64)
        ((double *)values)[c] = value;
    else
        ((float *)values)[c] = (float)value;
}

/* What the statistics of channel c make of scale and shift, and of the running ones where these are wanted. */
static void finish(const fc_batch_norm *p, void *const *t, int64_t c, sums s)
{
    double variance = s.m2 / s.count;
    const double epsilon = (double)p->epsilon, momentum = (double)p->momentum;
    if (p->dtype == FC_F32 && !fc_plain_moments(s.mean, variance, epsilon)) {
        s = wide_sums(p, t[4], c);
        variance = s.m2 / s.count;
    }
    const double factor = get(p, t[5], c) / sqrt(variance + epsilon);
    set(p, t[0], c, factor);
    set(p, t[1], c, get(p, t[6], c) - s.mean * factor);
    if (t[2])
        set(p, t[2], c, get(p, t[7], c) * momentum + s.mean * (1.0 - momentum));
    if (t[3])
        set(p, t[3], c, get(p, t[8], c) * momentum + variance * (1.0 - momentum));
}

/* Channels that lie next to each other: sums of all of this thread's, then of each a result. */
static void together(const fc_batch_norm *p, void *const *t, const fc_team *team, int64_t begin, int64_t end)
{
    sums *s = team->scratch;
    float *mean = (float *)(s + (end - begin)), *m2 = mean + (end - begin);
    for (int64_t c = begin; c < end; c++)
        s[c - begin] = (sums){0};
    for (int64_t i = 0; i < p->n; i++)
        add_pixels(p, s, (const float *)t[4] + i * p->x_image + begin, end - begin, mean, m2);
    for (int64_t c = begin; c < end; c++)
        finish(p, t, c, s[c - begin]);
}

fc_status fc_run_batch_norm(const void *params, void *const *t, const fc_team *team)
{
    const fc_batch_norm *p = params;
    int64_t begin, end;
    fc_share(team, p->c, &begin, &end);
    if (p->dtype == FC_F32 && p->x_pixel != 1 && begin < end) {
        together(p, t, team, begin, end);
        return FC_OK;
    }
    for (int64_t c = begin; c < end; c++)
        finish(p, t, c, p->dtype == FC_F32 ? plane_sums(p, t[4], c) : wide_sums(p, t[4], c));
    return FC_OK;
}

size_t fc_scratch_batch_norm(const void *params, int threads)
{
    (void)threads;
    return fc_align_up((size_t)((const fc_batch_norm *)params)->c * (sizeof(sums) + 2 * sizeof(float)));
}
