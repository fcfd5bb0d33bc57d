/* MaxPool with the position of each maximum, over up to three spatial axes of a channels-last tensor.
 *
 * The taps of an output pixel that lie inside the image are listed once and serve all its channels; the kernel says which tap won,
 * a table says where in the plane that tap lies. The first of equal values wins, in the order of the axes.
 */
#include <math.h>

#include "team.h"
#include "kernels/kernels.h"

typedef struct tap_list {
    size_t *offset;      /* from the image's first element to the tap's pixel */
    int64_t *position;   /* of the tap's pixel in its plane as ONNX counts */
    float *winner;       /* a channel's winning tap */
    size_t count;
} tap_list;

static int64_t tap_count(const fc_max_pool_index *p) { return p->kernel[0] * p->kernel[1] * p->kernel[2]; }

size_t fc_scratch_max_pool_index(const void *params, int threads)
{
    (void)threads;
    const fc_max_pool_index *p = params;
    return 2 * fc_align_up((size_t)tap_count(p) * sizeof(int64_t)) + fc_align_up((size_t)p->c * sizeof(float));
}

static tap_list list_in(const fc_max_pool_index *p, char *scratch)
{
    const size_t bytes = fc_align_up((size_t)tap_count(p) * sizeof(int64_t));
    return (tap_list){.offset = (size_t *)(void *)scratch, .position = (int64_t *)(void *)(scratch + bytes),
                      .winner = (float *)(void *)(scratch + 2 * bytes)};
}

/* Taps [*first, *end) of axis k whose positions start + tap*dilation lie inside. */
static void clip_axis(const fc_max_pool_index *p, int k, int64_t start, int64_t *first, int64_t *end)
{
    const int64_t d = p->dilations[k], extent = p->in[k];
    *first = start < 0 ? fc_ceil_div(-start, d) : 0;
    *end = start >= extent ? 0 : fc_min(p->kernel[k], (extent - 1 - start) / d + 1);
}

/* The taps of the window at `start`. */
static void list_taps(const fc_max_pool_index *p, tap_list *list, const int64_t start[3])
{
    int64_t first[3], end[3];
    for (int k = 0; k < 3; k++)
        clip_axis(p, k, start[k], &first[k], &end[k]);
    list->count = 0;
    for (int64_t a = first[0]; a < end[0]; a++)
        for (int64_t b = first[1]; b < end[1]; b++)
            for (int64_t c = first[2]; c < end[2]; c++) {
                const int64_t at[3] = {start[0] + a * p->dilations[0], start[1] + b * p->dilations[1], start[2] + c * p->dilations[2]};
                int64_t offset = 0, position = 0;
                for (int k = 0; k < 3; k++) {
                    offset += at[k] * p->x_strides[k + 1];
                    position += at[k] * p->steps[k];
                }
                list->offset[list->count] = (size_t)offset;
                list->position[list->count++] = position;
            }
}

/* All channels of one output pixel; a window of nothing but padding gives -inf and the first position. */
static void run_pixel(const fc_max_pool_index *p, const tap_list *list, float *y, int64_t *index, const float *x, int64_t image)
{
    const int64_t size = p->in[0] * p->in[1] * p->in[2];
    if (list->count == 0) {
        for (int64_t c = 0; c < p->c; c++) {
            y[c] = -INFINITY;
            index[c] = (image * p->c + c) * size;
        }
        return;
    }
    fc_active->pool->index(y, list->winner, x, list->offset, list->count, (size_t)p->c);
    for (int64_t c = 0; c < p->c; c++)
        index[c] = (image * p->c + c) * size + list->position[(int64_t)list->winner[c]];
}

/* Threads share rows of the last output axis. */
fc_status fc_run_max_pool_index(const void *params, void *const *t, const fc_team *team)
{
    const fc_max_pool_index *p = params;
    tap_list list = list_in(p, team->scratch);
    int64_t begin, end;
    fc_share(team, p->n * p->out[0] * p->out[1], &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const int64_t image = row / (p->out[0] * p->out[1]), o0 = row / p->out[1] % p->out[0], o1 = row % p->out[1];
        const float *x = (const float *)t[2] + image * p->x_strides[0];
        float *y = (float *)t[0] + image * p->y_strides[0] + o0 * p->y_strides[1] + o1 * p->y_strides[2];
        int64_t *index = (int64_t *)t[1] + image * p->i_strides[0] + o0 * p->i_strides[1] + o1 * p->i_strides[2];
        for (int64_t o2 = 0; o2 < p->out[2]; o2++) {
            const int64_t start[3] = {o0 * p->strides[0] - p->before[0], o1 * p->strides[1] - p->before[1],
                                      o2 * p->strides[2] - p->before[2]};
            list_taps(p, &list, start);
            run_pixel(p, &list, y + o2 * p->y_strides[3], index + o2 * p->i_strides[3], x, image);
        }
    }
    return FC_OK;
}
