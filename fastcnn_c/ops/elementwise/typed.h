/* The plain loops of typed.c for other steps. */
#ifndef FC_TYPED_H
#define FC_TYPED_H

#include "ops/dtypes.h"

/* y[i*step[0]] = a[i*step[1]] op b[i*step[2]] in order, i < n, op of fc_typed_binary_fn; y may overlap a, as running results do. */
void fc_typed_binary_run(int64_t op, int64_t dtype, void *y, const void *a, const void *b, int64_t n, const int64_t *step);

#endif
