/* The kernels of 8-bit values: one struct of microkernels a family. Values are unsigned; their zero point is an integer in 0..255 that is added
 * after rounding to nearest even, and results are brought into 0..255. NaN becomes 0.
 */
#ifndef FC_BYTES_H
#define FC_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* ---- qgemm: one register tile of an implicit GEMM of 8-bit values --------------------------------------------------------
 * s[i][j] = offset[j] + sum_t sum_k a[i*lda + run[t] + k] * b[(t*words + k/4)*4*ldb + 4*j + k%4], exactly, in 32 bits
 * f[i][j] = s * factor[j]
 *           where own_factor is not 0: round(min(max(f, own_lo), own_hi)) * own_factor
 *           where there is a residual: + (residual[i*ldr + j] - r_zero) * r_factor
 * c[i][j] = s (FC_Q_SUMS, int32), min(max(f, lo), hi) (FC_Q_FLOATS), or round(f) + zero brought into [byte_lo, byte_hi] (FC_Q_BYTES, uint8)
 *
 *   i < mr (fixed by the kernel), j < n, (nv-1)*V_LEN < n <= nv*V_LEN, k < 4*words, t < runs; c has ldc elements from row to row
 *   a     unsigned bytes; all 4*words of a run are read: what is too many meets weights of 0
 *   b     signed bytes, packed: words of ldb = nv*V_LEN quads
 *   f is made operation by operation in float32, so that it is the same at every instruction set; round: to nearest even
 *
 * near: bytes are made, |f| < FC_Q_NEAR before and after every operation (16 bits hold it and a zero point), and there is no own_factor without a
 * residual. Nothing has to be bounded then that the model does not bound, and zero points are added to 16 bits.
 *
 * turns: `pairs` times two tiles of FC_TURNS_MR rows and FC_TURNS_NV whole vectors, one after the other in memory, to bytes; bounded
 * Registers: mr*nv sums + nv quads + 1 four, where the CPU has dot products; the double of quads and fours where not.
 */
enum { FC_QGEMM_MAX_MR = 16, FC_TURNS_MR = 6, FC_TURNS_NV = 2 };
enum { FC_Q_SUMS, FC_Q_FLOATS, FC_Q_BYTES };
enum { FC_Q_NEAR = (1 << 15) - (1 << 8) };

typedef struct fc_qgemm_args {
    void *c;
    size_t ldc;
    const uint8_t *a;
    size_t lda;
    const int64_t *run;
    size_t runs, words;
    const int8_t *b;
    size_t n;
    const int32_t *offset;
    const float *factor;
    float own_factor, own_lo, own_hi;
    const uint8_t *residual;    /* or NULL */
    size_t ldr;
    float r_factor;
    int32_t r_zero;
    float lo, hi;
    int32_t zero, byte_lo, byte_hi;
    int to, bounded, near;      /* bounded: |f| < 2^30 */
    const char *prefetch;       /* or NULL: memory needed next; each word of k asks for the line here and goes prefetch_step bytes on */
    size_t prefetch_step;
    uint32_t *shape;            /* what a level with tile registers has set them up for, kept here through a step; 0 at its beginning */
} fc_qgemm_args;

typedef void (*fc_qgemm_kernel)(const fc_qgemm_args *args);

typedef struct fc_qgemm_kernels {
    fc_qgemm_kernel tile[FC_GEMM_MAX_NV + 1][FC_QGEMM_MAX_MR + 1];  /* [nv][mr], NULL where the registers do not suffice */
    int max_mr[FC_GEMM_MAX_NV + 1];
    void (*turns)(const fc_qgemm_args *args, size_t pairs);         /* or NULL */
    void (*release)(void);      /* gives tile registers back after the last tile of a step; NULL where there are none */
} fc_qgemm_kernels;

/* ---- qwide: the register tiles of qgemm where no instruction multiplies bytes, over copies of both operands in 16 bits ---------------------
 * tile         a: uint16, lda and run in its elements; b: int16, words of two pairs of k, each [ldb][2]
 * activations  to[i] = from[i], i < n
 * weights      such words from `words` of a packed panel nv vectors wide
 * Registers: mr*nv sums + nv pairs of b + 1 of a + 1 product.
 */
typedef struct fc_qwide_kernels {
    fc_qgemm_kernel tile[FC_GEMM_MAX_NV + 1][FC_QGEMM_MAX_MR + 1];
    int max_mr[FC_GEMM_MAX_NV + 1];
    void (*activations)(uint16_t *to, const uint8_t *from, size_t n);
    void (*weights)(int16_t *to, const int8_t *packed, size_t words, size_t nv);
} fc_qwide_kernels;

/* ---- quantise: y[i] = round(x[i] / scale) + zero, the quotient rounded to float32 first, as ONNX has it --------------------------------
 * row         i < n
 * planes      y[i*pixel + j] from x[j*plane + i], i < n, j < c <= 4
 * scaled      y[r*ldy + i] from x[r*ldx + i] * factor[i] + offset[i] within [lo, hi], the product and the sum rounded once, r < rows, i < n
 */
typedef struct fc_quantise_args {
    float scale, lo, hi;
    int32_t zero;
} fc_quantise_args;

typedef struct fc_quantise_kernels {
    void (*row)(uint8_t *y, const float *x, size_t n, float scale, int32_t zero);
    void (*planes)(uint8_t *y, size_t pixel, const float *x, size_t plane, size_t c, size_t n, float scale, int32_t zero);
    void (*scaled)(uint8_t *y, size_t ldy, const float *x, size_t ldx, const float *factor, const float *offset, size_t rows, size_t n,
                   const fc_quantise_args *args);
} fc_quantise_kernels;

/* ---- dequantise: y[i] = (x[i] - zero) * scale, likewise: planes has y[j*plane + i] from x[i*pixel + j] -------------------------------- */
typedef struct fc_dequantise_kernels {
    void (*row)(float *y, const uint8_t *x, size_t n, float scale, int32_t zero);
    void (*planes)(float *y, size_t plane, const uint8_t *x, size_t pixel, size_t c, size_t n, float scale, int32_t zero);
} fc_dequantise_kernels;

/* ---- table: y[r*ldy + i] = table[x[r*ldx + i]], i < n, r < rows; y may be x ----------------------------------------------------------- */
typedef void (*fc_table_kernel)(uint8_t *y, size_t ldy, const uint8_t *x, size_t ldx, size_t rows, size_t n, const uint8_t *table);

/* ---- qadd, qmul, qprelu: y[i] = round(v) + zero, brought into [lo, hi]; y may be an operand ------------------------------------------------------
 * qadd   v = (a[i] - a_zero) * a_factor + (b[i] - b_zero) * b_factor, each product and the sum rounded to float32
 * qmul   v = (a[i] - a_zero) * (b[i] - b_zero) * a_factor
 * qprelu v = (a[i] - a_zero) * (a[i] < a_zero ? b[i] : a_factor), b floats
 * |v| < 2^31
 */
typedef struct fc_qbinary_args {
    float a_factor, b_factor;
    int32_t a_zero, b_zero, zero, lo, hi;
} fc_qbinary_args;

typedef void (*fc_qbinary_kernel)(uint8_t *y, const uint8_t *a, const void *b, size_t n, const fc_qbinary_args *args);

/* ---- qaffine: y[i*ldy + j] = round(v) + zero, brought into [lo, hi], v = (x[i*ldx + j] - a_zero) * scale[j] + shift[j], product and sum rounded to
 * float32; i < rows, j < n; |v| < 2^31; y may be x ------------------------------------------------------------------------------------------ */
typedef void (*fc_qaffine_kernel)(uint8_t *y, size_t ldy, const uint8_t *x, size_t ldx, const float *scale, const float *shift, size_t rows, size_t n,
                                  const fc_qbinary_args *args);

/* ---- qpack: unsigned bytes less a zero point as signed bytes, the b of qgemm. What those do not hold is left for further copies: number c has what
 * is left after copies 0 .. c - 1, at most 2 of them. Both return whether something is left after this one.
 * rows     to[(r / 4)*4*width + 4*j + r % 4] from b[r*ldb + j], r < k, j < n <= width; k is rounded up to whole words, zero filled, and so is n to width
 * digits   to[j] from b[j], j < n
 */
typedef struct fc_qpack_kernels {
    int (*rows)(int8_t *to, size_t width, const uint8_t *b, size_t ldb, size_t k, size_t n, int32_t zero, int copy);
    int (*digits)(int8_t *to, const uint8_t *b, size_t n, int32_t zero, int copy);
} fc_qpack_kernels;

/* ---- round_sum: y[i] = round(a[i] * a_factor + b[i] * b_factor) within [lo, hi], all floats, as qadd has them less its zero points --------------
 * lo and hi are integers, less than 2^22 from 0; y may be an operand
 */
typedef struct fc_round_sum_args {
    float a_factor, b_factor, lo, hi;
} fc_round_sum_args;

typedef void (*fc_round_sum_kernel)(float *y, const float *a, const float *b, size_t n, const fc_round_sum_args *args);

/* ---- round_product: y[p*y_pixel + c] = round(x[p*x_pixel + c] * b[c] * factor) within [lo, hi], p < count, c < n: the product of two integers, then times
 * a factor, each rounded to float32; floats and bounds as of round_sum; y may be x */
typedef struct fc_round_product_args {
    float *y;
    size_t y_pixel;
    const float *x;
    size_t x_pixel;
    const float *b;
    size_t count, n;
    float factor, lo, hi;
} fc_round_product_args;

typedef void (*fc_round_product_kernel)(const fc_round_product_args *args);

/* ---- lookup: y[r*ldy + i] = table[x[r*ldx + i] mod 256], x integers, NaN as 0, i < n, r < rows; y may be x. The table of bytes on floats: bytes less
 * their zero point are 256 integers, each with a place of its own. table: FC_LOOKUP numbers, the last two of them only read */
enum { FC_LOOKUP = 258 };

typedef void (*fc_lookup_kernel)(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n, const int16_t *table);

/* ---- qpool: windows of `rows` x `cols` taps over pixels of n channels, output i < count at i*x_step, its taps x_row and x_col apart ----------
 * max       y[i*y_pixel + c] = the largest tap, 0 without taps
 * average   y[i*y_pixel + c] = round((offset + sum of taps) * factor) + zero, brought into 0..255
 */
typedef struct fc_qpool_args {
    uint8_t *y;
    size_t y_pixel;
    const uint8_t *x;
    size_t x_step, x_row, x_col, rows, cols, count, n;
    int32_t offset, zero;
    float factor;
} fc_qpool_args;

typedef struct fc_qpool_kernels {
    void (*max)(const fc_qpool_args *args);
    void (*average)(const fc_qpool_args *args);
} fc_qpool_kernels;

/* ---- qdepthwise: depthwise convolution by dot products over four rows of a column -------------------------------------------------------
 * A group is 4*V_LEN / parts channels, n of them real, so that a vector holds V_LEN / parts of them in each of `parts` neighbouring columns.
 * Its quads are four planes, `plane` words of four bytes apart: one of each of four rows, columns V_LEN / parts words apart, channels in the
 * order of v_interleave: word l of plane q belongs to channel l / 4 % (V_LEN / 4 / parts) * 16 + 4*q + l % 4 (with one lane: q).
 *
 * fill     quads of `left` columns of x_zero, `count` from rows[k] + i*step[k] and `right` of x_zero; up to parts - 1 columns more are written
 * tile[r]  r + 1 output rows, of which `rows` are written, of `count` columns:
 *          s = offset[q] + sum_t quads[tap[t] + q*plane + ..] . w[t][q][row], y = round(s * factor[q]) + zero, brought into [lo, hi];
 *          offset, factor and w in the order of the words
 */
typedef struct fc_qfill_args {
    int32_t *quads;
    size_t plane;
    const uint8_t *const *rows;
    const size_t *step;
    size_t left, count, right, n;
    int parts;
    int32_t x_zero;
} fc_qfill_args;

typedef struct fc_qdepthwise_args {
    uint8_t *y;
    size_t ldy, y_pixel;
    const int32_t *quads;
    size_t plane;
    const size_t *tap;
    size_t taps;
    const int8_t *w;
    const int32_t *offset;
    const float *factor;
    size_t rows, count, n;
    int parts, bounded;         /* bounded: |s * factor| < 2^30 */
    int32_t zero, lo, hi;
} fc_qdepthwise_args;

enum { FC_QDEPTHWISE_ROWS = 2 };

typedef struct fc_qdepthwise_kernels {
    void (*fill)(const fc_qfill_args *args);
    void (*tile[FC_QDEPTHWISE_ROWS])(const fc_qdepthwise_args *args);
} fc_qdepthwise_kernels;

#endif
