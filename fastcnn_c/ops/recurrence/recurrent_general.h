/* Cells of recurrent layers with any functions, clipped sums or tied gates. */
#ifndef FC_RECURRENT_GENERAL_H
#define FC_RECURRENT_GENERAL_H

#include "kernels/kernels.h"
#include "team.h"

/* What a cell computes: cell of fc_recurrent, `gate` the first gate of the phase; three functions with (alpha, beta) each. */
typedef struct fc_any_cell {
    int64_t cell, gate, v, input_forget;
    const int64_t *functions;
    const float *parameters;
    float clip;
} fc_any_cell;

/* The same state from the same sums as the kernels of fc_recurrent_kernels, which fc_cell_args is for. */
void fc_run_any_cell(const fc_any_cell *cell, const fc_cell_args *args);

#endif
