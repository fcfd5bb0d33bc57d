/* The epilogue that every convolution-like step shares: what the tile can do in registers, and what follows on rows in L1. */
#ifndef FC_EPILOGUE_H
#define FC_EPILOGUE_H

#include <math.h>

#include "kernels/kernels.h"

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

/* y[rows][n], rows ld apart, in place: PRelu by slope[n], or fn. */
static inline void fc_activate_rows(float *y, int64_t rows, size_t n, size_t ld, int64_t fn, float alpha, float beta, const float *slope)
{
    if (slope)
        for (int64_t i = 0; i < rows; i++)
            fc_active->binary[FC_BIN_PRelu][FC_VV](y + (size_t)i * ld, y + (size_t)i * ld, slope, n);
    else if (ld == n)
        fc_active->unary[fn](y, y, 1, (size_t)rows * n, 0, alpha, beta);     /* no gaps: one long row */
    else
        fc_active->unary[fn](y, y, (size_t)rows, n, ld, alpha, beta);
}

/* One such row. */
static inline void fc_activate_row(float *y, size_t n, int64_t fn, float alpha, float beta, const float *slope)
{
    fc_activate_rows(y, 1, n, n, fn, alpha, beta, slope);
}

#endif
