/* GridSample: y[n][o][c] = x[n][.][c] interpolated where grid[n][o] says, two or three spatial axes, channels-last.
 *
 * Taps (offsets of pixels and their weights) are worked out for a run of output pixels, then one kernel call weighs all channels.
 * Coordinates and padding are onnxruntime's and PyTorch's (onnx.reference moves cubic coordinates to the border before it interpolates).
 */
#include <math.h>

#include "team.h"
#include "kernels/kernels.h"

enum { GRID_NEAREST = 0, GRID_LINEAR = 1, GRID_CUBIC = 2, GRID_ZEROS = 0, GRID_BORDER = 1, GRID_REFLECTION = 2 };
enum { GRID_RUN = 64, GRID_MAX_TAPS = 64 };

size_t fc_scratch_grid_sample(const void *params, int threads)
{
    (void)params;
    (void)threads;
    return 2 * GRID_RUN * GRID_MAX_TAPS * sizeof(float);
}

/* x rounded to the nearest even integer, for |x| < 2^22; larger ones are whole, or so far outside that it does not matter. A sum
 * with 1.5 * 2^23 has no bits left for a fraction; the C library's function is a call on CPUs older than the kernels ask for. */
static inline float round_even(float x)
{
    const float whole = 12582912.0f;
    return x > -4194304.0f && x < 4194304.0f ? x + whole - whole : x;
}

/* The largest integer not above x, for |x| < 2^31. */
static inline int32_t floor_of(float x)
{
    const int32_t i = (int32_t)x;
    return i - ((float)i > x);
}

/* x mirrored at lo and hi until it lies between them; lo where that is no interval. */
static float reflect(float x, float lo, float hi)
{
    const float range = hi - lo, beyond = x < lo ? lo - x : x - hi;
    if (beyond <= 0.0f)
        return x;
    if (!(range > 0.0f))
        return lo;
    const float turns = truncf(beyond / range), rest = beyond - turns * range;
    const int back = (x < lo) != (fmodf(turns, 2.0f) != 0.0f);
    return back ? lo + rest : hi - rest;
}

/* A coordinate in [-1, 1] as one in pixels of an axis, brought inside as the padding says. Not finite: far outside. */
static inline float pixel_of(const fc_grid_sample *p, int mode, float g, int64_t extent)
{
    const float size = (float)extent, lo = p->align_corners ? 0.0f : -0.5f, hi = p->align_corners ? size - 1.0f : size - 0.5f;
    float x = p->align_corners ? (g + 1.0f) / 2.0f * (size - 1.0f) : ((g + 1.0f) * size - 1.0f) / 2.0f;
    if (mode == GRID_NEAREST)
        x = round_even(x);
    if (x < lo || x > hi) {
        if (p->padding == GRID_BORDER && mode != GRID_CUBIC)    /* cubic: each tap for itself */
            x = fminf(fmaxf(x, 0.0f), size - 1.0f);
        else if (p->padding == GRID_REFLECTION)
            x = reflect(x, lo, hi);
    }
    return x > -1e9f && x < 1e9f ? x : -1e9f;
}

/* Element i of an axis after padding, -1: outside. */
static inline int64_t padded_index(const fc_grid_sample *p, int64_t i, int64_t extent)
{
    if (i >= 0 && i < extent)
        return i;
    if (p->padding == GRID_ZEROS)
        return -1;
    if (p->padding == GRID_BORDER)
        return i < 0 ? 0 : extent - 1;
    const float lo = p->align_corners ? 0.0f : -0.5f, hi = (float)extent - (p->align_corners ? 1.0f : 0.5f);
    return fc_min(fc_max((int64_t)reflect((float)i, lo, hi), 0), extent - 1);
}

/* Taps of one axis at x, indices and weights: 1, 2 or 4. Cubic: Keys' kernel with a = -3/4. */
static inline void axis_taps(const fc_grid_sample *p, int mode, float x, int64_t extent, int64_t index[4], float w[4])
{
    const int64_t first = floor_of(x);
    const float a = -0.75f, f = x - (float)first;
    int count = 1;
    w[0] = 1.0f;
    index[0] = mode == GRID_NEAREST ? (int64_t)x : first;
    if (mode == GRID_LINEAR) {
        count = 2;
        w[0] = 1.0f - f;
        w[1] = f;
        index[1] = first + 1;
    } else if (mode == GRID_CUBIC) {
        count = 4;
        w[0] = ((a * (f + 1) - 5 * a) * (f + 1) + 8 * a) * (f + 1) - 4 * a;
        w[1] = ((a + 2) * f - (a + 3)) * f * f + 1;
        w[2] = ((a + 2) * (1 - f) - (a + 3)) * (1 - f) * (1 - f) + 1;
        w[3] = ((a * (2 - f) - 5 * a) * (2 - f) + 8 * a) * (2 - f) - 4 * a;
        for (int k = 0; k < 4; k++)
            index[k] = first - 1 + k;
    }
    for (int k = 0; k < count; k++)
        index[k] = padded_index(p, index[k], extent);
}

/* The taps of `run` output pixels, all axes multiplied; returns how many each has. Taps outside weigh nothing and read pixel 0.
 * mode and axes are constants where it is called. */
static inline __attribute__((always_inline)) int list_taps(const fc_grid_sample *p, const int mode, const int axes, const float *grid,
                                                           int64_t run, int32_t *index, float *w)
{
    const int side = mode == GRID_NEAREST ? 1 : mode == GRID_LINEAR ? 2 : 4, deep = axes == 3 ? side : 1;
    int64_t at[3][4] = {{0}};
    float weight[3][4] = {{1.0f}};
    for (int64_t i = 0; i < run; i++, grid += axes) {
        for (int k = 3 - axes; k < 3; k++)     /* the grid names the last axis first */
            axis_taps(p, mode, pixel_of(p, mode, grid[2 - k], p->in[k]), p->in[k], at[k], weight[k]);
        for (int a = 0; a < deep; a++)
            for (int b = 0; b < side; b++)
                for (int c = 0; c < side; c++) {
                    const int inside = (at[0][a] | at[1][b] | at[2][c]) >= 0;
                    const int64_t place = at[0][a] * p->x_strides[1] + at[1][b] * p->x_strides[2] + at[2][c] * p->x_strides[3];
                    *index++ = inside ? (int32_t)place : 0;
                    *w++ = inside ? weight[0][a] * weight[1][b] * weight[2][c] : 0.0f;
                }
    }
    return deep * side * side;
}

static int list_run(const fc_grid_sample *p, const float *grid, int64_t run, int32_t *index, float *w)
{
    if (p->mode == GRID_CUBIC)
        return p->axes == 3 ? list_taps(p, GRID_CUBIC, 3, grid, run, index, w) : list_taps(p, GRID_CUBIC, 2, grid, run, index, w);
    if (p->axes == 3)
        return p->mode == GRID_NEAREST ? list_taps(p, GRID_NEAREST, 3, grid, run, index, w)
                                       : list_taps(p, GRID_LINEAR, 3, grid, run, index, w);
    return p->mode == GRID_NEAREST ? list_taps(p, GRID_NEAREST, 2, grid, run, index, w)
                                   : list_taps(p, GRID_LINEAR, 2, grid, run, index, w);
}

/* Threads share rows of the last output axis. */
fc_status fc_run_grid_sample(const void *params, void *const *t, const fc_team *team)
{
    const fc_grid_sample *p = params;
    int32_t *index = team->scratch;
    float *w = (float *)team->scratch + GRID_RUN * GRID_MAX_TAPS;
    int64_t begin, end;
    fc_share(team, p->n * p->out[0] * p->out[1], &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const int64_t image = row / (p->out[0] * p->out[1]), o0 = row / p->out[1] % p->out[0], o1 = row % p->out[1];
        const float *grid = (const float *)t[2] + row * p->out[2] * p->axes;
        float *y = (float *)t[0] + image * p->y_strides[0] + o0 * p->y_strides[1] + o1 * p->y_strides[2];
        for (int64_t o2 = 0; o2 < p->out[2]; o2 += GRID_RUN) {
            const int64_t run = fc_min(GRID_RUN, p->out[2] - o2);
            const int taps = list_run(p, grid + o2 * p->axes, run, index, w);
            const fc_resize_columns_args a = {.y = y + o2 * p->y_strides[3], .y_pixel = (size_t)p->y_strides[3],
                                              .x = (const float *)t[1] + image * p->x_strides[0], .x_pixel = 1, .index = index,
                                              .w = w, .taps = (size_t)taps, .count = (size_t)run, .n = (size_t)p->c};
            fc_active->resize->columns[taps <= FC_RESIZE_MAX_TAPS ? taps : 0](&a);
        }
    }
    return FC_OK;
}
