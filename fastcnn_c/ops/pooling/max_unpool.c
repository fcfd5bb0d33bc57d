/* MaxUnpool: zeros, and each x where its index says. All tensors channels-last with up to three spatial axes.
 *
 * An index counts elements of the dense (n, c, inner[0], inner[1], inner[2]); it normally points into the plane it comes from, and
 * those planes are shared among threads. What points into another plane is written afterwards, by one thread.
 */
#include <string.h>

#include "team.h"

enum { UNPOOL_CHANNELS = 16 }; /* of a unit: a cache line */

size_t fc_scratch_max_unpool(const void *params, int threads)
{
    (void)params;
    return fc_align_up((size_t)threads * sizeof(int64_t));
}

static int64_t extent3(const int64_t *v) { return v[0] * v[1] * v[2]; }

/* Where pixel number `pixel` of `shape`, counted row-major, lies. A plane has less than 2^31 pixels: short divisions. */
static inline int64_t place_of(int64_t pixel, const int64_t *shape, const int64_t *strides)
{
    const uint32_t width = (uint32_t)shape[2], rest = (uint32_t)pixel / width, last = (uint32_t)pixel - rest * width;
    if (shape[0] == 1)
        return rest * strides[2] + last * strides[3];
    return rest / (uint32_t)shape[1] * strides[1] + rest % (uint32_t)shape[1] * strides[2] + last * strides[3];
}

/* Whether a tensor of that extent has one channel and its pixels follow each other: planes as ONNX has them, an image each. */
static int is_plane(const fc_max_unpool *p, const int64_t *shape, const int64_t *strides)
{
    return p->c == 1 && strides[3] == 1 && strides[2] == shape[2] && (shape[0] == 1 || strides[1] == shape[1] * shape[2]);
}

static void clear(const fc_max_unpool *p, float *y, int64_t image, int64_t c0, int64_t channels)
{
    const int64_t pixels = extent3(p->out);
    if (is_plane(p, p->out, p->y_strides)) {
        memset(y + image * p->y_strides[0], 0, (size_t)pixels * sizeof *y);
        return;
    }
    for (int64_t pixel = 0; pixel < pixels; pixel++)
        memset(y + image * p->y_strides[0] + place_of(pixel, p->out, p->y_strides) + c0, 0, (size_t)channels * sizeof *y);
}

/* Channels [c0, c0 + channels) of one image, elements of their own planes (foreign: of all others). Counts in *others those it
 * leaves out. */
static fc_status scatter(const fc_max_unpool *p, void *const *t, int64_t image, int64_t c0, int64_t channels, int foreign,
                         int64_t *others)
{
    const int64_t size = extent3(p->inner), pixels = extent3(p->shape), total = p->n * p->c * size;
    float *y = t[0];
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
        const float *x = (const float *)t[1] + image * p->x_strides[0] + place_of(pixel, p->shape, p->x_strides);
        const int64_t *index = (const int64_t *)t[2] + image * p->i_strides[0] + place_of(pixel, p->shape, p->i_strides);
        for (int64_t c = c0; c < c0 + channels; c++) {
            const int64_t at = index[c] - (image * p->c + c) * size;
            const int own = at >= 0 && at < size;
            if (own && !foreign)
                y[image * p->y_strides[0] + place_of(at, p->inner, p->y_strides) + c] = x[c];
            else if (!own && (index[c] < 0 || index[c] >= total))
                return FC_ERR_INDEX;
            else if (!own && foreign)
                y[index[c] / size / p->c * p->y_strides[0] + place_of(index[c] % size, p->inner, p->y_strides) + index[c] / size % p->c] = x[c];
            *others += !own;
        }
    }
    return FC_OK;
}

/* scatter where all three are planes and what indices count in is the output: no coordinates. */
static fc_status scatter_plane(const fc_max_unpool *p, void *const *t, int64_t image, int64_t *others)
{
    const int64_t size = extent3(p->inner), pixels = extent3(p->shape), total = p->n * size, first = image * size;
    float *y = (float *)t[0] + image * p->y_strides[0];
    const float *x = (const float *)t[1] + image * p->x_strides[0];
    const int64_t *index = (const int64_t *)t[2] + image * p->i_strides[0];
    for (int64_t k = 0; k < pixels; k++) {
        const int64_t at = index[k] - first;
        if (at >= 0 && at < size)
            y[at] = x[k];
        else if (index[k] < 0 || index[k] >= total)
            return FC_ERR_INDEX;
        else
            ++*others;
    }
    return FC_OK;
}

/* inner and out are the same: an index is a place. */
static int all_planes(const fc_max_unpool *p)
{
    return memcmp(p->inner, p->out, 3 * sizeof *p->out) == 0 && is_plane(p, p->out, p->y_strides) && is_plane(p, p->shape, p->x_strides)
           && is_plane(p, p->shape, p->i_strides);
}

fc_status fc_run_max_unpool(const void *params, void *const *t, const fc_team *team)
{
    const fc_max_unpool *p = params;
    const int64_t blocks = fc_ceil_div(p->c, UNPOOL_CHANNELS);
    const int planes = all_planes(p);
    int64_t begin, end, others = 0, *counts = team->shared;
    fc_status status = FC_OK;
    fc_share(team, p->n * blocks, &begin, &end);
    for (int64_t unit = begin; unit < end && status == FC_OK; unit++) {
        const int64_t c0 = unit % blocks * UNPOOL_CHANNELS, channels = fc_min(UNPOOL_CHANNELS, p->c - c0);
        clear(p, t[0], unit / blocks, c0, channels);
        status = planes ? scatter_plane(p, t, unit, &others) : scatter(p, t, unit / blocks, c0, channels, 0, &others);
    }
    counts[team->id] = status == FC_OK ? others : 0;
    fc_team_wait(team);
    if (team->id != 0 || status != FC_OK)
        return status;
    int64_t left = 0, again = 0;
    for (int k = 0; k < team->count; k++)
        left += counts[k];
    for (int64_t image = 0; left > 0 && image < p->n && status == FC_OK; image++)
        status = scatter(p, t, image, 0, p->c, 1, &again);
    return status;
}
