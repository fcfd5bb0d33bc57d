/* Col2Im: the blocks of an unfolded image added up where they came from; up to three spatial axes, dense tensors.
 *
 * x[n][c][tap][block] adds to y[n][c][start of block + tap]; what falls into padding is dropped. Threads share planes (n, c), so
 * every sum has one order.
 */
#include <string.h>

#include "team.h"

/* Blocks [*first, *end) along axis k whose tap lies inside the image. */
static void clip_axis(const fc_col2im *p, int k, int64_t tap, int64_t *first, int64_t *end)
{
    const int64_t start = tap * p->dilations[k] - p->before[k];
    *first = start < 0 ? fc_ceil_div(-start, p->strides[k]) : 0;
    *end = start >= p->image[k] ? 0 : fc_min(p->blocks[k], (p->image[k] - 1 - start) / p->strides[k] + 1);
}

/* All blocks' element `tap` of one plane. */
static void add_tap(const fc_col2im *p, float *y, const float *x, const int64_t tap[3])
{
    int64_t first[3], end[3], at[3];
    for (int k = 0; k < 3; k++) {
        clip_axis(p, k, tap[k], &first[k], &end[k]);
        at[k] = tap[k] * p->dilations[k] - p->before[k];
    }
    for (int64_t a = first[0]; a < end[0]; a++)
        for (int64_t b = first[1]; b < end[1]; b++) {
            float *row = y + ((at[0] + a * p->strides[0]) * p->image[1] + at[1] + b * p->strides[1]) * p->image[2] + at[2];
            const float *from = x + (a * p->blocks[1] + b) * p->blocks[2];
            for (int64_t c = first[2]; c < end[2]; c++)
                row[c * p->strides[2]] += from[c];
        }
}

fc_status fc_run_col2im(const void *params, void *const *t, const fc_team *team)
{
    const fc_col2im *p = params;
    const int64_t size = p->image[0] * p->image[1] * p->image[2], count = p->blocks[0] * p->blocks[1] * p->blocks[2];
    int64_t begin, end;
    fc_share(team, p->planes, &begin, &end);
    for (int64_t plane = begin; plane < end; plane++) {
        float *y = (float *)t[0] + plane * size;
        const float *x = (const float *)t[1] + plane * p->block[0] * p->block[1] * p->block[2] * count;
        memset(y, 0, (size_t)size * sizeof *y);
        for (int64_t a = 0; a < p->block[0]; a++)
            for (int64_t b = 0; b < p->block[1]; b++)
                for (int64_t c = 0; c < p->block[2]; c++, x += count)
                    add_tap(p, y, x, (const int64_t[]){a, b, c});
    }
    return FC_OK;
}
