/* Weights that take 2 bytes or 1 in memory and are floats where they are multiplied. kernels.h has the words used here. */
#ifndef FC_COMPRESSED_H
#define FC_COMPRESSED_H

/* ---- compressed: panels of ldb = nv*V_LEN columns, nv fixed by the kernel ----------------------------------------------------------
 * w(k, j) = the bfloat16 b[k*ldb + j], or the int8 b[k*ldb + j] * scale[j], the product rounded to float32
 *
 * widen[bytes][nv]   to[k*ldb + j] = w(k, j), k < rows, j < ldb
 * row[bytes][nv]     y[j] = init[j] + sum_k a[k] * w(k, j), k < rows, j < n, ldb - V_LEN < n <= ldb: even k and odd k each in a sum of its own
 *                    init: or NULL, 0; may be y. What lies FC_COMPRESSED_AHEAD bytes behind in b is asked for
 */
enum { FC_COMPRESSED_MAX_NV = 2, FC_COMPRESSED_AHEAD = 8192 };

typedef struct fc_compressed_args {
    float *y;
    const float *init, *a;
    const void *b;
    const float *scale;      /* int8 only */
    size_t rows, n;
} fc_compressed_args;

typedef struct fc_compressed_kernels {       /* [bytes]: 1 int8, 2 bfloat16 */
    void (*widen[3][FC_COMPRESSED_MAX_NV + 1])(float *to, const void *b, const float *scale, size_t rows);
    void (*row[3][FC_COMPRESSED_MAX_NV + 1])(const fc_compressed_args *args);
} fc_compressed_kernels;

#endif
