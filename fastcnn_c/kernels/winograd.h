/* Winograd's transforms: the points at which they evaluate, one table for the packing of filters and for the kernels; and the kernels' contract.
 *
 * F(m, r), m outputs of a window of r, takes e = m + r - 1 positions: the point 0 (e even only), +-p for each p of the row, and infinity,
 * in this order. Positions of +-p carry a factor p in the filter that the way back divides out again, which turns one of its products
 * into a sum. The points are those with the least rounding error among multiples of 1/8 (e = 9: 1/16; fastcnn/convolve/winograd_cost.py has the errors):
 * 5/8 and 3/2 are also oneDNN's, 1/2, 1, 2 the usual ones of e = 8.
 *
 * A window of 3 with a stride of 2 is the sum of a window of 2 over the even pixels of the patch (taps 0 and 2) and one of 1 over the odd ones.
 * Two outputs take three products for the first, by F(2, 2) of the points 0, 1 and infinity, whose transforms are additions alone, and two for
 * the second: e = 5, which no form of stride 1 has.
 */
#ifndef FC_WINOGRAD_H
#define FC_WINOGRAD_H

enum { FC_WINOGRAD_STRIDED_E = 5, FC_WINOGRAD_MAX_E = 9, FC_WINOGRAD_MAX_M = 4, FC_WINOGRAD_MAX_R = 7, FC_WINOGRAD_MAX_PAIRS = 4 };

/* p > 0 of a pair of points. */
static inline double fc_winograd_point(int e, int pair)
{
    static const double points[FC_WINOGRAD_MAX_E + 1][FC_WINOGRAD_MAX_PAIRS] = {
        [4] = {1.0}, [6] = {0.625, 1.5}, [7] = {0.25, 0.875, 1.75}, [8] = {0.5, 1.0, 2.0}, [9] = {0.25, 0.6875, 1.1875, 2.3125}};
    return points[e][pair];
}

static inline int fc_winograd_has_zero(int e) { return e % 2 == 0; }
static inline int fc_winograd_pairs(int e) { return (e - 1) / 2; }

/* Along an axis where the window has r rows or columns and a stride of s: outputs and positions of a tile. Nothing is transformed where r is 1. */
static inline int64_t fc_winograd_outputs(int64_t m, int64_t r) { return r > 1 ? m : 1; }
static inline int64_t fc_winograd_positions(int64_t m, int64_t r, int64_t s) { return (fc_winograd_outputs(m, r) - 1) * s + r; }

/* ---- winograd: the transforms of F(m, r), e positions an axis, over all channels of one tile ----------------------------------
 * [0]: along one axis, e x 1 patches and m x 1 tiles that lie along columns;  [1]: along both, e x e and m x m
 * input[][e]      v[i*e + j][k] = (B^T d B)[i][j] (one axis: (d B)[j]) for the patch d of channel k, k < c
 *                 x points at patch row `top`, column `left`; rows outside [top, bottom) and columns outside [left, right) are zero
 *                 and not read. v[i] starts at v + i*position; whole vectors are written, up to V_LEN - 1 floats past c.
 * output[][e][m]  y[i][j][k] = min(max((A^T m A)[i][j] + bias[k] + residual[i][j][k], lo), hi), rounded, for i < rows, j < columns
 *                 m[i] starts at m + i*position; whole vectors are read, up to V_LEN - 1 floats past c.
 */
typedef struct fc_winograd_input_args {
    float *v;
    size_t position;
    const float *x;
    size_t row, pixel, c;
    int top, bottom, left, right;
} fc_winograd_input_args;

typedef struct fc_winograd_output_args {
    float *y;
    size_t row, pixel;
    const float *m;
    size_t position, c;
    int rows, columns;
    const float *bias;       /* or NULL */
    const float *residual;   /* or NULL */
    size_t residual_row, residual_pixel;
    float lo, hi;
    fc_rounding rounding;
} fc_winograd_output_args;

typedef struct fc_winograd_kernels {                                            /* NULL where there is none */
    void (*input[2][FC_WINOGRAD_MAX_E + 1])(const fc_winograd_input_args *args);
    void (*output[2][FC_WINOGRAD_MAX_E + 1][FC_WINOGRAD_MAX_M + 1])(const fc_winograd_output_args *args);
} fc_winograd_kernels;

#endif
