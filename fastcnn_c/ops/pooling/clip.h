/* Windows of pooling, clipped to the image. */
#ifndef FC_CLIP_H
#define FC_CLIP_H

#include "team.h"

/* Taps of a window that starts at `start`: those inside the image, and those that the divisor counts. */
typedef struct fc_clip {
    int64_t first, taps, counted;
} fc_clip;

static inline fc_clip fc_clip_window(int64_t start, int64_t taps, int64_t dilation, int64_t extent, int64_t before, int64_t after,
                                     int64_t include_pad)
{
    fc_clip c = {.first = start < 0 ? fc_ceil_div(-start, dilation) : 0};
    const int64_t end = start >= extent ? 0 : fc_min(taps, (extent - start - 1) / dilation + 1); /* first tap past the image */
    c.taps = fc_max(end - c.first, 0);
    c.counted = c.taps;
    if (include_pad) { /* taps in [-before, extent + after) */
        const int64_t skip = start < -before ? fc_ceil_div(-before - start, dilation) : 0;
        const int64_t stop = start >= extent + after ? 0 : fc_min(taps, (extent + after - start - 1) / dilation + 1);
        c.counted = fc_max(stop - skip, 0);
    }
    return c;
}

/* Output columns [*begin, *end) whose windows lie inside the image. */
static inline void fc_middle_columns(int64_t ow, int64_t iw, int64_t kw, int64_t sw, int64_t dw, int64_t pl, int64_t *begin, int64_t *end)
{
    const int64_t last_start = iw - 1 - (kw - 1) * dw; /* of a window inside */
    *begin = fc_min(fc_max(fc_ceil_div(pl, sw), 0), ow);
    *end = last_start + pl < 0 ? *begin : fc_max(*begin, fc_min((last_start + pl) / sw + 1, ow));
}

#endif
