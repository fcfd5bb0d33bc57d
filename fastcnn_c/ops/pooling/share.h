/* How threads share a pooling over pixels. */
#ifndef FC_POOLING_SHARE_H
#define FC_POOLING_SHARE_H

#include "team.h"

/* A thread's part: output rows [begin, end) of all images and channels [c0, c1). */
typedef struct fc_pool_part {
    int64_t begin, end, c0, c1;
} fc_pool_part;

/* Output rows; where there are too few (global pooling), channels, `together` of them as one. */
static inline fc_pool_part fc_pool_share(const fc_team *team, int64_t rows, int64_t c, int64_t together)
{
    fc_pool_part part = {0, rows, 0, fc_ceil_div(c, together)};
    if (rows >= 2 * team->count)
        fc_share(team, rows, &part.begin, &part.end);
    else
        fc_share(team, part.c1, &part.c0, &part.c1);
    part.c0 *= together;
    part.c1 = fc_min(part.c1 * together, c);
    return part;
}

#endif
