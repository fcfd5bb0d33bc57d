/* Contracts of the kernel families besides gemm, unary, binary and those in moves.h and winograd.h; at the end the list that compiles all of
 * them. A family is written once, in <family>.inc, which ends by defining FC_NAME(fc_<family>), a struct fc_<family>_kernels, and
 * FC_NAMES_<family>(X), an X(name) for each microkernel.
 */
#ifndef FC_FAMILIES_H
#define FC_FAMILIES_H

#include "compressed.h"
#include "depthwise_plane.h"
#include "moves.h"
#include "winograd.h"

/* ---- scale_shift: y[i] = x[i] * scale[i] + shift[i]; `one`: scale[0] and shift[0] for all; y may be x ---------------------
 * rows: y[r][i] = x[r][i] * scale[r], rows of n elements without gaps, n a multiple of V_LEN */
typedef void (*fc_scale_shift_kernel)(float *y, const float *x, const float *scale, const float *shift, size_t n);
typedef struct fc_scale_shift_kernels {
    fc_scale_shift_kernel each, one;
    void (*rows)(float *y, const float *x, const float *scale, size_t rows, size_t n);
} fc_scale_shift_kernels;

/* ---- reduce: accumulations, over a row or down columns; SumExp adds e^(x - shift), the others ignore shift -----------------
 * row        the accumulation of x[0..n); n = 0 gives the identity
 * columns    out[j] = out[j] (+) accumulation over i < rows of x[i*ldx + j], j < n; shift[j], or NULL for 0
 */
#define FC_ACCUMULATE_LIST(X) X(Sum) X(SumAbs) X(SumSquare) X(SumExp) X(Max) X(Min) X(Prod) X(MaxNumber)
#define FC_ENUM_ACCUMULATE(name) FC_ACC_##name,
typedef enum fc_accumulate { FC_ACCUMULATE_LIST(FC_ENUM_ACCUMULATE) FC_ACCUMULATE_COUNT } fc_accumulate;
typedef float (*fc_reduce_row_kernel)(const float *x, size_t n, float shift);
typedef void (*fc_reduce_columns_kernel)(float *out, const float *x, size_t rows, size_t ldx, size_t n, const float *shift);
typedef struct fc_reduce_kernels {
    fc_reduce_row_kernel row[FC_ACCUMULATE_COUNT];
    fc_reduce_columns_kernel columns[FC_ACCUMULATE_COUNT];
} fc_reduce_kernels;

/* ---- softmax: [0] softmax, [1] its logarithm; y may be x ------------------------------------------------------------------
 * row        over x[0..n), n >= 1          columns    over i < rows of x[i*ldx + j], for every j < n; rows >= 1
 */
typedef void (*fc_softmax_row_kernel)(float *y, const float *x, size_t n);
typedef void (*fc_softmax_columns_kernel)(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n);
typedef struct fc_softmax_kernels {
    fc_softmax_row_kernel row[2];
    fc_softmax_columns_kernel columns[2];
} fc_softmax_kernels;

/* ---- depthwise: output rows of n channels, band after band -----------------------------------------------------------------
 * y[i][j][c] = clamp(act(bias[c] + sum_{ky,kx} x(i + ky, j*sw + kx*dw, c) * w(ky*kw + kx, c) + residual[i][j][c]))
 *
 *   j < count pixels, c < n, i < 1 (pair: 2); channel c = v*V_LEN + l is lane l of vector v
 *   x(r, j, c) = rows[r][offset + v*plane + j*V_LEN + l]: bands of one vector each, padding in place, read in whole vectors
 *   w(t, c)    = w[(v*kh*kw + t)*V_LEN + l], read in whole vectors
 *   act   PRelu by slope[c] when slope is not NULL;  clamp to [lo, hi]
 *   row[(kw - 3)/2][sw - 1] and pair[(kw - 3)/2] (stride 1) read kh only, pair[0] takes it for 3; window reads kh, kw, sw, dw.
 * band  band[v*plane + p*V_LEN + l] = x[p*pixel + v*V_LEN + l], p < count, channels past n are 0 up to the end of their vector
 * put   y[p*pixel + c] = x[p*x_pixel + c], p < count, c < n
 * mean  y[c] = sum of x[p*pixel + c] over p < count, in four sums that go round, * scale, c < n
 */
typedef struct fc_depthwise_args {
    float *y;
    size_t ldy, y_pixel;
    const float *const *rows;
    size_t offset, plane;
    const float *w;
    size_t kh, kw, sw, dw;
    size_t n, count;
    const float *bias;       /* or NULL */
    const float *residual;   /* or NULL */
    size_t ldr, r_pixel;
    const float *slope;      /* or NULL */
    float lo, hi;
    fc_rounding rounding;
} fc_depthwise_args;

typedef void (*fc_depthwise_kernel)(const fc_depthwise_args *args);

/* direct: the same from the tensor itself, one output row, pixels x_pixel apart, any n:
 * y[j][c] = clamp(act(bias[c] + sum_{ky < rows, kx < kw} x[ky*x_row + (j*sw + kx)*x_pixel + c] * w[ky*w_row + kx*w_col + c]
 *                + residual[j][c]))
 * direct[(kw - 3)/2] of stride 2; edge: one output with kx < cols. */
typedef struct fc_depthwise_direct_args {
    float *y;
    size_t y_pixel;
    const float *x;
    size_t x_row, x_pixel;
    const float *w;
    size_t w_row, w_col;
    size_t rows, cols, n, count;
    const float *bias;       /* or NULL */
    const float *residual;   /* or NULL */
    size_t r_pixel;
    const float *slope;      /* or NULL */
    float lo, hi;
} fc_depthwise_direct_args;

typedef void (*fc_depthwise_direct_kernel)(const fc_depthwise_direct_args *args);

typedef struct fc_depthwise_kernels {
    fc_depthwise_kernel row[3][2], pair[3], window;
    fc_depthwise_direct_kernel direct[2], edge;
    void (*band)(float *band, size_t plane, const float *x, size_t pixel, size_t count, size_t n);
    void (*put)(float *y, size_t pixel, const float *x, size_t x_pixel, size_t count, size_t n);
    void (*mean)(float *y, const float *x, size_t pixel, size_t count, size_t n, float scale);
} fc_depthwise_kernels;

/* ---- grouped: one row of a convolution in groups of `width` channels, one vector of channels -------------------------------------
 * y[j*y_pixel + l] = clamp(bias[l] + residual[j*r_pixel + l]
 *                + sum_{q < width, r < rows, k < kw} x[r*x_row + (j*sw + k*dw)*V_LEN + m(l, q)] * w[((q*rows + r)*kw + k)*V_LEN + m(l, q)])
 *   j < count, l < V_LEN; m(l, q): the lane q after l in its group of `width` lanes, cyclically; width a power of two, at most V_LEN
 * tile[sw - 1][count]   kw = 3, dw = 1, sw 1 or 2            any[count]   reads kw, sw, dw
 */
typedef struct fc_grouped_args {
    float *y;
    size_t y_pixel;
    const float *x;
    size_t x_row;
    const float *w;
    size_t rows, width, kw, sw, dw;
    const float *bias;       /* or NULL */
    const float *residual;   /* or NULL */
    size_t r_pixel;
    float lo, hi;
} fc_grouped_args;

enum { FC_GROUPED_MOST = 14 };

typedef void (*fc_grouped_kernel)(const fc_grouped_args *args);

typedef struct fc_grouped_kernels {
    fc_grouped_kernel tile[2][FC_GROUPED_MOST + 1], any[FC_GROUPED_MOST + 1];
    int most;                /* outputs of the longest tile */
} fc_grouped_kernels;

/* ---- pool: y[j][c] = reduction over r < rows, k < cols of x[j*x_step + r*x_row + k*x_col + c], j < count, c < n ---------------
 * max (-inf of nothing); average: sum * scale; Lp: sum of |x|^p, its square root when p = 2, other roots are the caller's.
 * window[kind] any window; square[kind] 2x2; columns[kind][stride - 1] 3 columns at x_step = stride*x_col, rows >= 1.
 * index  y[c] = max over t < taps of x[offset[t] + c], winner[c] = the first t that gives it, c < n; taps in [1, 2^24]
 */
typedef enum fc_pool_kind { FC_POOL_MAX = 0, FC_POOL_AVERAGE = 1, FC_POOL_LP = 2 } fc_pool_kind;

typedef struct fc_pool_args {
    float *y;
    size_t y_pixel;
    const float *x;
    size_t x_step, x_row, x_col;
    size_t rows, cols, count, n, p;
    float scale;
} fc_pool_args;

typedef void (*fc_pool_kernel)(const fc_pool_args *args);

typedef struct fc_pool_kernels {
    fc_pool_kernel window[3], square[2], columns[2][2];
    void (*index)(float *y, float *winner, const float *x, const size_t *offset, size_t taps, size_t n);
} fc_pool_kernels;

/* ---- overlap_add: y[i*y_step + e] = min(max(bias[e] + residual[i*r_step + e] + sum_{t < terms} x[t][i*x_step + e], lo), hi), i < count, e < n */
typedef struct fc_overlap_add_args {
    float *y;
    size_t y_step;
    const float *const *x;
    size_t x_step, terms, count, n;
    const float *bias;       /* or NULL */
    const float *residual;   /* or NULL */
    size_t r_step;
    float lo, hi;
} fc_overlap_add_args;

typedef struct fc_overlap_add_kernels {
    void (*rows)(const fc_overlap_add_args *args);
} fc_overlap_add_kernels;

/* ---- depthwise_rows: output rows from rows of one plane, padding in place --------------------------------------------------------
 * y[i*ldy + j] = min(max(bias + sum_{r < kh, k < kw} w[r*kw + k] * x(i*step + r, j, k), lo), hi), j < count
 * x(r, j, k) = x[r*x_row + j + k*dw]; of columns in two parts, for a stride of 2, x[r*x_row + j + k*dw/2], where k*dw is odd that of
 *   x[r*x_row + odd + j + (k*dw - 1)/2]. Whole vectors are read.
 *   row[(size - 3)/2][step - 1]    i = 0, square windows of that size, dw = 1, in two parts with a step of 2     tile: of tile_rows rows
 *   rolled[(size - 3)/2]           i < rows, rows >= size - 1, of 3x3 and 5x5 with a step of 1; x + size/2 and x_row in whole vectors, those before
 *                                  and after the columns are read too
 *   any                            i = 0, reads kh, kw, dw, and sw: 2 where columns are in two parts
 * copy  y[r*ldy + i] = x[r*ldx + i], i < n, r < rows; zeros past n to the end of its vector
 * part  even[r*ldy + i] = x[r*ldx + 2*i], odd[r*ldy + i] = x[r*ldx + 2*i + 1] for 2*i, 2*i + 1 < n; zeros past them, up to V_LEN of each
 */
typedef struct fc_depthwise_rows_args {
    float *y;
    size_t ldy;
    const float *x;
    size_t x_row;
    const float *w;
    size_t kh, kw, sw, dw, odd, count, rows;
    float bias, lo, hi;
} fc_depthwise_rows_args;

typedef void (*fc_depthwise_rows_kernel)(const fc_depthwise_rows_args *args);

typedef struct fc_depthwise_rows_kernels {
    fc_depthwise_rows_kernel row[3][2], tile[3][2], rolled[3], any;      /* rolled: NULL where tiles are faster */
    void (*copy)(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n);
    void (*part)(float *even, float *odd, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n);
    void (*plane)(const fc_depthwise_plane_args *args);     /* depthwise_plane.h */
    int tile_rows;
} fc_depthwise_rows_kernels;

/* ---- planes: an output row of each of oc channels from rows of planes, padding in place ------------------------------------------
 * y[o*y_plane + j] = min(max(bias[o] + sum_{t < k} w(o, t) * x[taps[t] + j], lo), hi), o < oc, j < count; bias may be NULL
 * w(o, t) = w[(o/R*k + t)*R + o%R], R = FC_PLANES_ROWS: channels are padded to whole R. Whole vectors of x are read.
 * ahead: a row of floats for each t, ahead_plane apart, that will be read soon and is asked for; or NULL.
 */
enum { FC_PLANES_ROWS = 8 };

typedef struct fc_planes_args {
    float *y;
    size_t y_plane;
    const float *x;
    const int64_t *taps;
    size_t k;
    const float *w, *bias;
    size_t oc, count;
    float lo, hi;
    const float *ahead;
    size_t ahead_plane;
} fc_planes_args;

typedef struct fc_planes_kernels {
    void (*rows)(const fc_planes_args *args);
} fc_planes_kernels;

/* ---- pool_rows: one row of outputs from rows of x, kind max or average, stride sw 1 or 2 -----------------------------------------
 * row[kind][sw - 1]   band[before + i] = rows joined, i < width; then y[j] = scale[j] * (join over k < kw of band[j*sw + k*dw]), j < count
 *   the rest of the band holds what changes nothing (-inf, 0) and is read up to 2*sw*V_LEN floats past the last window; max: no scale.
 */
typedef struct fc_pool_rows_args {
    float *y;
    const float *const *rows;
    size_t row_count, width;     /* row_count >= 1 */
    float *band;
    size_t before, kw, dw, count;
    const float *scale;
} fc_pool_rows_args;

typedef struct fc_pool_rows_kernels {
    void (*row[2][2])(const fc_pool_rows_args *args);
} fc_pool_rows_kernels;

/* ---- norm ------------------------------------------------------------------------------------------------------------------
 * layer_norm  y[i] = (x[i] - mean) / sqrt(var + epsilon) * scale[i] + bias[i], i < n; rms: mean = 0; scale, bias may be NULL
 * sum         of x[r*step + i] - center, r < runs, i < n, or of the squares of that
 * moments     merges count pixels into mean[c] and m2[c] (sum of squared deviations), c < n, of `before` earlier ones (0: sets them)
 * affine      y[p][c] = min(max(x[p][c] * scale[c] + shift[c], lo), hi), p < count, c < n; rounds: the nearest integer, lo and hi integers as well
 * squares     squares[p*ld + c] = x[p*pixel + c]^2
 * lrn         y[p][c] = x[p][c] / d^beta, d = bias + alpha * sum_{k < size} squares[p*ld + c + k]; beta not 1/2, 3/4 or 1: d
 */
typedef struct fc_affine_args {
    float *y;
    size_t y_pixel;
    const float *x;
    size_t x_pixel, count, n;
    const float *scale, *shift;
    float lo, hi;
    int rounds;
} fc_affine_args;

typedef struct fc_lrn_args {
    float *y;
    size_t y_pixel;
    const float *x;
    size_t x_pixel, count, n;
    const float *squares;
    size_t ld, size;
    float alpha, beta, bias;
} fc_lrn_args;

typedef struct fc_norm_kernels {
    void (*layer_norm)(float *y, const float *x, size_t n, const float *scale, const float *bias, float epsilon, int rms);
    double (*sum)(const float *x, size_t n, size_t step, size_t runs, float center, int squares);
    void (*moments)(float *mean, float *m2, const float *x, size_t pixel, size_t count, size_t n, size_t before);
    void (*affine)(const fc_affine_args *args);
    void (*squares)(float *squares, size_t ld, const float *x, size_t pixel, size_t count, size_t n);
    void (*lrn)(const fc_lrn_args *args);
} fc_norm_kernels;

/* ---- resize ----------------------------------------------------------------------------------------------------------------
 * columns[taps]  y[p*y_pixel + c] = sum_k w[p*taps + k] * x[index[p*taps + k]*x_pixel + c], p < count, c < n
 * rows[taps]     y[p*y_pixel + c] = sum_k w[k] * rows[k][p*n + c] ; taps 1..4 by index, [0] takes any number
 * picks          y[j] = sum_k w[k][j] * x[index of tap k at j], j < n; table [taps][vectors of n] rows as for pick, w likewise
 * repeats        y[(i*copies + r)*n + j] = x[i*x_row + index of j], r < copies, i < rows, j < n
 * terms          sum[i] += (w[i] * row) * x[i], each product and sum rounded; terms_i32 the same in integers
 * mac_u8, mac_i8 sum[i] += w * x[i]
 */
enum { FC_RESIZE_MAX_TAPS = 4 };

typedef struct fc_resize_columns_args {
    float *y;
    size_t y_pixel;
    const float *x;
    size_t x_pixel;
    const int32_t *index;
    const float *w;
    size_t taps, count, n;
} fc_resize_columns_args;

typedef struct fc_resize_rows_args {
    float *y;
    size_t y_pixel;
    const float *const *rows;
    const float *w;
    size_t taps, count, n;
} fc_resize_rows_args;

typedef struct fc_resize_picks_args {
    float *y;
    const float *x;
    const int32_t *table;
    const float *w;                 /* picks only */
    size_t taps, n;
    size_t x_row, rows, copies;     /* repeats only */
} fc_resize_picks_args;

typedef struct fc_resize_kernels {
    void (*columns[FC_RESIZE_MAX_TAPS + 1])(const fc_resize_columns_args *args);
    void (*rows[FC_RESIZE_MAX_TAPS + 1])(const fc_resize_rows_args *args);
    void (*picks)(const fc_resize_picks_args *args), (*repeats)(const fc_resize_picks_args *args);
    void (*terms)(float *sum, const float *w, float row, const float *x, size_t n);
    void (*terms_i32)(int32_t *sum, const int32_t *w, int32_t row, const int32_t *x, size_t n);
    void (*mac_u8)(int32_t *sum, int32_t w, const uint8_t *x, size_t n);
    void (*mac_i8)(int32_t *sum, int32_t w, const int8_t *x, size_t n);
} fc_resize_kernels;

/* ---- recurrent: one time step of one row, `count` blocks of V_LEN hidden units, whole vectors -----------------------------------
 * gates of block b at gates + b*step; h, before and c at b*V_LEN.  s: sigmoid.
 * lstm        c = s(f)*c + s(i)*tanh(n); h = s(o)*tanh(c); gates i, o, f, n; extra: peepholes [b][3][V_LEN] of i, o, f or NULL
 * gru         u = s(gate + z), r alike, n = tanh(z + r*gate); h = n + u*(before - n); gates u, r, n; extra: z [b][3][V_LEN]
 * gru_reset   c = s(u), h = s(r)*before; gates u, r        gru_update   n = tanh(n); h = n + c*(before - n); gate n
 */
typedef struct fc_cell_args {
    float *h;
    const float *before;
    float *c;
    const float *gates;
    size_t step;
    const float *extra;
    size_t count;
} fc_cell_args;

typedef struct fc_recurrent_kernels {
    void (*lstm)(const fc_cell_args *args);
    void (*gru)(const fc_cell_args *args);
    void (*gru_reset)(const fc_cell_args *args);
    void (*gru_update)(const fc_cell_args *args);
} fc_recurrent_kernels;

/* ---- matvec: a vector times a matrix as it lies, j < n -------------------------------------------------------------------------
 * rows   y[j] += sum_{r < k} a[r] * b[r*ldb + j]          dots   y[j] += sum_{r < k} a[r] * b[j*ldb + r]
 */
typedef struct fc_matvec_kernels {
    void (*rows)(float *y, const float *a, const float *b, size_t ldb, size_t k, size_t n);
    void (*dots)(float *y, const float *a, const float *b, size_t ldb, size_t k, size_t n);
} fc_matvec_kernels;

/* ---- arg[smallest][last]: index of the largest (smallest) element, the first or the last of equal ones; NaN counts as infinite --
 * row        of x[0..n), 1 <= n < 2^24     columns    y[j] over i < rows of x[i*ldx + j], j < n; 1 <= rows < 2^24
 */
typedef struct fc_arg_kernels {
    int64_t (*row[2][2])(const float *x, size_t n);
    void (*columns[2][2])(int64_t *y, const float *x, size_t ldx, size_t rows, size_t n);
} fc_arg_kernels;

/* The families: a row makes the slot in fc_kernels, its value and the kernels' names in every instruction set. */
#define FC_FAMILIES(X) \
    X(matvec) X(compressed) X(scale_shift) X(half) X(cast) X(transpose) X(reduce) X(softmax) X(winograd) X(depthwise) X(depthwise_rows) X(planes) X(grouped) \
    X(overlap_add) X(pool) X(pool_rows) X(norm) X(resize) X(recurrent) X(arg)
#define FC_FAMILY_SLOT(family) const fc_##family##_kernels *family;

#endif

/* Read a second time by isa.inc, which has no other list of them. */
#ifdef FC_COMPILE_FAMILIES
#include "matvec.inc"
#include "compressed.inc"
#include "scale_shift.inc"
#include "half.inc"
#include "cast.inc"
#include "transpose.inc"
#include "reduce.inc"
#include "softmax.inc"
#include "winograd.inc"
#include "depthwise.inc"
#include "depthwise_rows.inc"
#include "planes.inc"
#include "grouped.inc"
#include "overlap_add.inc"
#include "pool.inc"
#include "pool_rows.inc"
#include "norm.inc"
#include "resize.inc"
#include "recurrent.inc"
#include "arg.inc"
#endif
