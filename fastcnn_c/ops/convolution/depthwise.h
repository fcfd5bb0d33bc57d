/* Declarations that the steps with a depthwise convolution share. */
#ifndef FC_DEPTHWISE_H
#define FC_DEPTHWISE_H

#include "kernels/kernels.h"
#include "team.h"

/* The kernels for tile_rows output rows, 1 or 2, and for the single row that may be left. */
typedef struct fc_depthwise_tile {
    int64_t tile_rows;
    fc_depthwise_kernel kernel, last_row;
} fc_depthwise_tile;

fc_depthwise_tile fc_depthwise_tile_of(int64_t kw, int64_t sw, int64_t dw, int64_t tile_rows);

/* What reads the tensor where it lies. */
void fc_run_depthwise_direct(const fc_depthwise *p, void *const *t, const fc_team *team);

#endif
