/* The epilogue that every convolution-like step shares: what the tile can do in registers, and what follows on rows in L1. */
#ifndef FC_EPILOGUE_H
#define FC_EPILOGUE_H

#include <math.h>

#include "kernels/kernels.h"

/* The largest byte, and what the second of RoundTwice's zero points is multiplied with. */
#define FC_LAST_BYTE 255.0f
#define FC_SECOND_ZERO 256.0f

/* RoundTwice's zero points: of the first byte, and of the second. */
static inline float fc_second_zero(float beta) { return floorf(beta / FC_SECOND_ZERO); }
static inline float fc_first_zero(float beta) { return beta - FC_SECOND_ZERO * fc_second_zero(beta); }

/* Which bounds the tile clamps to: Relu and Clip are bounds, and what is rounded has some; everything else is a pass over the row just written. */
static inline void fc_clamp_bounds(int64_t fn, float alpha, float beta, float *lo, float *hi)
{
    const int both = fn == FC_FN_Clip || fn == FC_FN_RoundClip, bytes = fn == FC_FN_RoundTwice;
    *lo = fn == FC_FN_Relu ? 0.0f : both ? alpha : bytes ? -fc_first_zero(beta) : -INFINITY;
    *hi = both ? beta : bytes ? FC_LAST_BYTE - fc_first_zero(beta) : INFINITY;
}

/* Whether the operand `slope` is one, of PRelu; beside fn RoundClip it is the table that rounded values are looked up in (FC_LOOKUP numbers of 16
 * bits), beside RoundTwice what the residual is multiplied with. */
static inline int fc_is_prelu(int64_t fn, const float *slope)
{
    return slope && fn != FC_FN_RoundClip && fn != FC_FN_RoundTwice;
}

/* What fn is to a tile, which knows no slope. */
static inline int64_t fc_tile_fn(int64_t fn, const float *slope) { return fc_is_prelu(fn, slope) ? FC_FN_None : fn; }

/* The operand from a channel on. */
static inline const float *fc_slope_from(int64_t fn, const float *slope, int64_t channel) { return fc_is_prelu(fn, slope) ? slope + channel : slope; }

/* What a tile that rounds does within those bounds. */
static inline fc_rounding fc_rounding_of(int64_t fn, float alpha, float beta, const float *slope)
{
    const float zero = fc_second_zero(beta);
    return (fc_rounding){.times = fn == FC_FN_RoundTwice ? 2 : fn == FC_FN_RoundClip, .ratio = alpha, .r_ratio = fn == FC_FN_RoundTwice && slope ? *slope : 0.0f,
                         .lo = -zero, .hi = FC_LAST_BYTE - zero};
}

static inline int fc_is_clamp(int64_t fn)
{
    return fn == FC_FN_None || fn == FC_FN_Relu || fn == FC_FN_Clip;
}

/* Whether a tile that rounds does all of it. */
static inline int fc_in_tile(int64_t fn, const float *slope)
{
    return fn == FC_FN_RoundTwice || (!slope && (fc_is_clamp(fn) || fn == FC_FN_RoundClip));
}

/* y[rows][n], rows ld apart, in place: PRelu by slope[n], a table, or fn. */
static inline void fc_activate_rows(float *y, int64_t rows, size_t n, size_t ld, int64_t fn, float alpha, float beta, const float *slope)
{
    if (slope && !fc_is_prelu(fn, slope))
        fc_active_bytes->lookup(y, ld, y, ld, (size_t)rows, n, (const int16_t *)(const void *)slope);
    else if (slope)
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
