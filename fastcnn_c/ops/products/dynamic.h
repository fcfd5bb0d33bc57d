/* Products of rows of floats, which are quantised while the model runs, with constant weights of bytes. */
#ifndef FC_DYNAMIC_H
#define FC_DYNAMIC_H

#include <stddef.h>
#include <stdint.h>

/* w: panels of nv vectors of columns, packed as for qconv with a window of one pixel; of each column its scale, the sum of its weights less
 * their zero points, and their zero point, NULL where all are 0. These are rows of one tensor. */
typedef struct fc_dynamic_weights {
    const int8_t *w;
    const float *scale;
    const int32_t *net, *zero;
    int64_t k, nv;
} fc_dynamic_weights;

/* Rows as unsigned bytes at one scale, ld apart (at least k rounded up to whole words of 4), and of each the sum, where weights have zero points. */
typedef struct fc_dynamic_rows {
    uint8_t *bytes;
    int32_t *sums;
    int64_t ld;
    float scale;
    int32_t zero;
} fc_dynamic_rows;

static inline fc_dynamic_weights fc_dynamic_of(const int8_t *w, const int32_t *columns, int64_t count, int64_t k, int64_t nv, int has_zeros)
{
    return (fc_dynamic_weights){.w = w, .scale = (const float *)(const void *)columns, .net = columns + count,
                                .zero = has_zeros ? columns + 2 * count : NULL, .k = k, .nv = nv};
}

/* range: the least and the largest of its two values and of all elements. */
void fc_dynamic_widen(float range[2], const float *x, int64_t rows, int64_t k, int64_t ld);
/* Scale and zero point by onnxruntime's rule: bytes cover the range. */
void fc_dynamic_scale(fc_dynamic_rows *to, const float range[2]);
/* Rows [first, first + rows) from x, which is row `first`. */
void fc_dynamic_quantise(const fc_dynamic_rows *to, int64_t first, const float *x, int64_t rows, int64_t k, int64_t ld);
/* y[i][j] = sum over k of (x - zero) * (w - zero), exact, times both scales, for rows from `first` on and n columns, whole vectors, from `column`, where
 * a panel begins. shape: as of fc_qgemm_args. */
void fc_dynamic_multiply(float *y, int64_t ldy, const fc_dynamic_rows *x, int64_t first, int64_t rows, const fc_dynamic_weights *w,
                         int64_t column, int64_t n, uint32_t *shape);

#endif
