/* Contracts of the kernel families that only move or convert elements; families.h has the others. */
#ifndef FC_MOVES_H
#define FC_MOVES_H

#include <stddef.h>
#include <stdint.h>

/* ---- half: y[i] = x[i] between IEEE half and float, to nearest even ------------------------------------------------------- */
typedef struct fc_half_kernels {
    void (*widen)(float *y, const uint16_t *x, size_t n);
    void (*narrow)(uint16_t *y, const float *x, size_t n);
} fc_half_kernels;

/* ---- cast: y[i] = x[i] between floats and integers or booleans, by fc_dtype; NULL: a plain loop will do ------------------------
 * Floats are truncated; what does not fit int64 (int64) or int32 (all others) becomes the smallest of these, of which narrow types take
 * the low bits. Booleans are x != 0. Integers are rounded to nearest even.
 */
typedef struct fc_cast_kernels {
    void (*from_float[FC_DTYPE_COUNT])(void *y, const float *x, size_t n);
    void (*to_float[FC_DTYPE_COUNT])(float *y, const void *x, size_t n);
} fc_cast_kernels;

/* ---- transpose: 4-byte elements of any type ---------------------------------------------------------------------------------
 * block          y[j*ldy + i] = x[i*ldx + j] for i < rows, j < cols; callers block for the cache
 * interleaveN    y[N*i + k] = x[k*ldx + i],  deinterleaveN   y[k*ldy + i] = x[N*i + k],  for k < N, i < n
 * lace           y[p*y_pixel + 2*i + g] = x[p*x_pixel + g*n + i], p < pixels, i < n, g < 2; n a multiple of half a vector
 * pick           y[p*y_pixel + V_LEN*j + l] = x[p*x_pixel + first + lane], p < pixels, V_LEN*j + l < n, where row j of the table,
 *                V_LEN + 2 numbers, is (lane + 0 or V_LEN: from which of the two starts ..., the two starts `first`); x has `channels`, which
 *                are read in whole vectors, or all at once where they are fewer than a vector's: both starts are 0 then
 */
typedef struct fc_transpose_kernels {
    void (*block)(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t cols);
    void (*interleave2)(float *y, const float *x, size_t ldx, size_t n);
    void (*interleave3)(float *y, const float *x, size_t ldx, size_t n);
    void (*deinterleave2)(float *y, size_t ldy, const float *x, size_t n);
    void (*deinterleave3)(float *y, size_t ldy, const float *x, size_t n);
    void (*deinterleave4)(float *y, size_t ldy, const float *x, size_t n);
    void (*interleave_groups)(float *y, size_t y_pixel, const float *x, size_t x_pixel, size_t pixels, size_t n);
    void (*pick)(float *y, size_t y_pixel, const float *x, size_t x_pixel, size_t channels, const int32_t *table, size_t pixels,
                 size_t n);
} fc_transpose_kernels;

#endif
