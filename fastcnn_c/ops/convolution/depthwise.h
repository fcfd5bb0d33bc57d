/* What the steps with a depthwise convolution share. */
#ifndef FC_DEPTHWISE_H
#define FC_DEPTHWISE_H

#include "kernels/kernels.h"
#include "team.h"

/* The kernel for tile_rows output rows, and for the single row that may be left. */
typedef struct fc_depthwise_tile {
    int64_t tile_rows;
    fc_depthwise_kernel kernel, last_row;
} fc_depthwise_tile;

fc_depthwise_tile fc_depthwise_tile_of(int64_t kh, int64_t kw, int64_t sh, int64_t sw, int64_t dh, int64_t dw, int64_t oh);

/* The convolutions that read the tensor where it lies. */
int fc_depthwise_is_direct(const fc_depthwise *p);
void fc_run_depthwise_direct(const fc_depthwise *p, void *const *t, const fc_team *team);

#endif
