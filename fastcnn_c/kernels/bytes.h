/* The kernels of 8-bit values: one struct of microkernels a family. Values are unsigned; their zero point is an integer in 0..255 that is added
 * after rounding to nearest even, and results are brought into 0..255. NaN becomes 0.
 */
#ifndef FC_BYTES_H
#define FC_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* ---- quantise: y[i] = round(x[i] / scale) + zero, the quotient rounded to float32 first, as ONNX has it --------------------------------
 * row         i < n
 * planes      y[i*pixel + j] from x[j*plane + i], i < n, j < c <= 4
 */
typedef struct fc_quantise_kernels {
    void (*row)(uint8_t *y, const float *x, size_t n, float scale, int32_t zero);
    void (*planes)(uint8_t *y, size_t pixel, const float *x, size_t plane, size_t c, size_t n, float scale, int32_t zero);
} fc_quantise_kernels;

/* ---- dequantise: y[i] = (x[i] - zero) * scale, likewise: planes has y[j*plane + i] from x[i*pixel + j] -------------------------------- */
typedef struct fc_dequantise_kernels {
    void (*row)(float *y, const uint8_t *x, size_t n, float scale, int32_t zero);
    void (*planes)(float *y, size_t plane, const uint8_t *x, size_t pixel, size_t c, size_t n, float scale, int32_t zero);
} fc_dequantise_kernels;

/* ---- table: y[r*ldy + i] = table[x[r*ldx + i]], i < n, r < rows; y may be x ----------------------------------------------------------- */
typedef void (*fc_table_kernel)(uint8_t *y, size_t ldy, const uint8_t *x, size_t ldx, size_t rows, size_t n, const uint8_t *table);

/* ---- qadd, qmul: y[i] = round(v) + zero, brought into [lo, hi]; y may be an operand ------------------------------------------------------
 * qadd   v = (a[i] - a_zero) * a_factor + (b[i] - b_zero) * b_factor, each product and the sum rounded to float32
 * qmul   v = (a[i] - a_zero) * (b[i] - b_zero) * a_factor
 * |v| < 2^31
 */
typedef struct fc_qbinary_args {
    float a_factor, b_factor;
    int32_t a_zero, b_zero, zero, lo, hi;
} fc_qbinary_args;

typedef void (*fc_qbinary_kernel)(uint8_t *y, const uint8_t *a, const uint8_t *b, size_t n, const fc_qbinary_args *args);

#endif
