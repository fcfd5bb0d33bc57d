/* The points at which Winograd's transforms evaluate: one table for the packing of filters and for the kernels.
 *
 * F(m, r), m outputs of a window of r, takes e = m + r - 1 positions: the point 0 (e even only), +-p for each p of the row, and infinity,
 * in this order. Positions of +-p carry a factor p in the filter that the way back divides out again, which turns one of its products
 * into a sum. The points are those with the least rounding error among multiples of 1/8 (e = 9: 1/16; fastcnn/convolve/winograd.py has the errors):
 * 5/8 and 3/2 are also oneDNN's, 1/2, 1, 2 the usual ones of e = 8.
 */
#ifndef FC_WINOGRAD_H
#define FC_WINOGRAD_H

enum { FC_WINOGRAD_MAX_E = 9, FC_WINOGRAD_MAX_M = 4, FC_WINOGRAD_MAX_R = 7, FC_WINOGRAD_MAX_PAIRS = 4 };

/* p > 0 of a pair of points. */
static inline double fc_winograd_point(int e, int pair)
{
    static const double points[FC_WINOGRAD_MAX_E + 1][FC_WINOGRAD_MAX_PAIRS] = {
        [4] = {1.0}, [6] = {0.625, 1.5}, [7] = {0.25, 0.875, 1.75}, [8] = {0.5, 1.0, 2.0}, [9] = {0.25, 0.6875, 1.1875, 2.3125}};
    return points[e][pair];
}

static inline int fc_winograd_has_zero(int e) { return e % 2 == 0; }
static inline int fc_winograd_pairs(int e) { return (e - 1) / 2; }

/* Along an axis where the window has r rows or columns: outputs and positions of a tile. Nothing is transformed where r is 1. */
static inline int64_t fc_winograd_outputs(int64_t m, int64_t r) { return r > 1 ? m : 1; }
static inline int64_t fc_winograd_positions(int64_t m, int64_t r) { return fc_winograd_outputs(m, r) + r - 1; }

#endif
