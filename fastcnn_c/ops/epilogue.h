/* The epilogue that every convolution-like step shares: what the tile can do in registers, and what follows on rows in L1. */
#ifndef FC_EPILOGUE_H
#define FC_EPILOGUE_H

#include <math.h>

#include "../kernels/kernels.h"

/* Which bounds the tile clamps to: Relu and Clip are bounds, everything else is a pass over the row just written. */
static inline void fc_clamp_bounds(int64_t fn, float alpha, float beta, float *lo, float *hi)
{
    *lo = fn == FC_FN_Relu ? 0.0f : fn == FC_FN_Clip ? alpha : -INFINITY;
    *hi = fn == FC_FN_Clip ? beta : INFINITY;
}

static inline int fc_is_clamp(int64_t fn)
{
    return fn == FC_FN_None || fn == FC_FN_Relu || fn == FC_FN_Clip;
}

/* y[0..n) = PRelu by slope, or fn, in place. */
static inline void fc_activate_row(float *y, size_t n, int64_t fn, float alpha, float beta, const float *slope)
{
    if (slope)
        fc_active->binary[FC_BIN_PRelu][FC_VV](y, y, slope, n);
    else
        fc_active->unary[fn](y, y, n, alpha, beta);
}

/* The same for `rows` rows ld apart; rows without a gap between them are one long row. */
static inline void fc_activate_rows(float *y, int64_t rows, size_t n, size_t ld, int64_t fn, float alpha, float beta, const float *slope)
{
    if (ld == n && !slope) {
        fc_activate_row(y, (size_t)rows * n, fn, alpha, beta, NULL);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        fc_activate_row(y + (size_t)i * ld, n, fn, alpha, beta, slope);
}

#endif
