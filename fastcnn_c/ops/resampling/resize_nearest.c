/* Nearest neighbours of two axes: rows picked element by element, and a row that is read again copied from the output row before. */
#include <string.h>

#include "team.h"

/* n elements of `bytes`, a constant where it is called. */
static inline __attribute__((always_inline)) void pick(char *y, const char *x, const int32_t *index, int64_t n, const int64_t bytes)
{
    for (int64_t j = 0; j < n; j++)
        memcpy(y + j * bytes, x + index[j] * bytes, (size_t)bytes);
}

static void pick_row(const fc_resize_nearest *p, char *y, const char *x, const int32_t *index)
{
    switch (p->inner * p->elem_bytes) {
    case 1: pick(y, x, index, p->ow, 1); break;
    case 2: pick(y, x, index, p->ow, 2); break;
    case 3: pick(y, x, index, p->ow, 3); break;
    case 4: pick(y, x, index, p->ow, 4); break;
    case 8: pick(y, x, index, p->ow, 8); break;
    case 12: pick(y, x, index, p->ow, 12); break;
    default: pick(y, x, index, p->ow, p->inner * p->elem_bytes);
    }
}

/* Threads share output rows. */
fc_status fc_run_resize_nearest(const void *params, void *const *t, const fc_team *team)
{
    const fc_resize_nearest *p = params;
    const int64_t pixel = p->inner * p->elem_bytes, row = p->ow * pixel;
    const int32_t *rows = t[2];
    int64_t begin, end;
    fc_share(team, p->planes * p->oh, &begin, &end);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t plane = unit / p->oh, oy = unit % p->oh;
        char *y = (char *)t[0] + unit * row;
        if (unit > begin && oy > 0 && rows[oy] == rows[oy - 1])
            memcpy(y, y - row, (size_t)row);
        else
            pick_row(p, y, (const char *)t[1] + (plane * p->ih + rows[oy]) * p->iw * pixel, t[3]);
    }
    return FC_OK;
}
