/* Max and average pooling of row-major planes over three axes, for nodes whose input and output are row-major anyway: the rows of a
 * window are joined in a band of scratch that has padding on both sides, then windows slide along it (kernels/pool_rows.inc).
 */
#include <math.h>

#include "kernels/kernels.h"
#include "team.h"

typedef struct run {
    const fc_pool_planes *p;
    fc_pool_rows_args args;
    const float **rows;
    float *scale;
    int64_t counted;       /* rows that `scale` is for, 0: none yet */
} run;

/* The taps of one window along an axis that lie inside: *count from index *first on. Returns those that a divisor counts. */
static int64_t clip(const fc_pool_planes *p, int axis, int64_t out, int64_t *first, int64_t *count)
{
    const int64_t d = p->dilations[axis], start = out * p->strides[axis] - p->before[axis];
    const int64_t skip = start < 0 ? fc_ceil_div(-start, d) : 0;
    const int64_t end = start >= p->in[axis] ? 0 : fc_min(p->kernel[axis], (p->in[axis] - start - 1) / d + 1);
    const int64_t last = p->in[axis] + p->after[axis];
    *first = start + skip * d;
    *count = fc_max(end - skip, 0);
    return !p->include_pad ? *count : start >= last ? 0 : fc_min(p->kernel[axis], (last - start - 1) / d + 1);
}

static int64_t band_floats(const fc_pool_planes *p)
{
    const int64_t window = (p->out[2] - 1) * p->strides[2] + (p->kernel[2] - 1) * p->dilations[2] + 1;
    return fc_max(window, p->before[2] + p->in[2]) + 2 * FC_MAX_VECTOR * p->strides[2];   /* whole vectors are read */
}

size_t fc_scratch_pool_planes(const void *params, int threads)
{
    (void)threads;
    const fc_pool_planes *p = params;
    return fc_align_up((size_t)band_floats(p) * sizeof(float)) + fc_align_up((size_t)p->out[2] * sizeof(float))
           + fc_align_up((size_t)(p->kernel[0] * p->kernel[1]) * sizeof(float *));
}

static void set_scale(run *s, int64_t counted)
{
    int64_t first, count;
    if (s->counted == counted)
        return;
    for (int64_t j = 0; j < s->p->out[2]; j++)
        s->scale[j] = 1.0f / (float)fc_max(counted * clip(s->p, 2, j, &first, &count), 1);
    s->counted = counted;
}

/* Output row (i, j) of one plane. */
static void run_row(run *s, float *y, const float *x, int64_t i, int64_t j)
{
    const fc_pool_planes *p = s->p;
    int64_t slice, slices, row, rows;
    const int64_t counted = clip(p, 0, i, &slice, &slices) * clip(p, 1, j, &row, &rows);
    for (int64_t a = 0; a < slices; a++)
        for (int64_t b = 0; b < rows; b++)
            s->rows[a * rows + b] = x + ((slice + a * p->dilations[0]) * p->in[1] + row + b * p->dilations[1]) * p->in[2];
    s->args.row_count = (size_t)(slices * rows);
    s->args.y = y;
    if (p->kind == FC_POOL_AVERAGE)
        set_scale(s, counted);
    if (s->args.row_count > 0) {
        fc_active->pool_rows->row[p->kind][p->strides[2] - 1](&s->args);
        return;
    }
    for (int64_t k = 0; k < p->out[2]; k++)     /* a window of padding alone */
        y[k] = p->kind == FC_POOL_MAX ? -INFINITY : 0.0f;
}

fc_status fc_run_pool_planes(const void *params, void *const *t, const fc_team *team)
{
    const fc_pool_planes *p = params;
    const int64_t floats = band_floats(p), in = p->in[0] * p->in[1] * p->in[2], lines = p->out[0] * p->out[1];
    float *band = team->scratch, *scale = (float *)((char *)band + fc_align_up((size_t)floats * sizeof *band));
    run s = {.p = p, .scale = scale, .rows = (const float **)((char *)scale + fc_align_up((size_t)p->out[2] * sizeof *scale))};
    s.args = (fc_pool_rows_args){.rows = s.rows, .width = (size_t)p->in[2], .band = band, .before = (size_t)p->before[2],
                                 .kw = (size_t)p->kernel[2], .dw = (size_t)p->dilations[2], .count = (size_t)p->out[2], .scale = scale};
    for (int64_t k = 0; k < floats; k++)
        band[k] = p->kind == FC_POOL_MAX ? -INFINITY : 0.0f;
    int64_t begin, end;
    fc_share(team, p->planes * lines, &begin, &end);
    for (int64_t unit = begin; unit < end; unit++)
        run_row(&s, (float *)t[0] + unit * p->out[2], (const float *)t[1] + unit / lines * in, unit % lines / p->out[1], unit % p->out[1]);
    return FC_OK;
}
