/* Depthwise 3x3 convolution with a stride of 2 over output rows of a plane that are at most one vector:
 *   y[i*count + j] = min(max(bias + sum_{r, k < 3} w[r*3 + k] * x(top + 2*i + r, k, j), lo), hi), i < rows, j < count <= V_LEN
 *   x(r, k, j) = x[r*iw + from[k*FC_MAX_VECTOR + j]] where 0 <= r < ih and inside[k*FC_MAX_VECTOR + j] > 0, else 0; iw <= 2*V_LEN
 */
#ifndef FC_DEPTHWISE_PLANE_H
#define FC_DEPTHWISE_PLANE_H

#include <stddef.h>
#include <stdint.h>

typedef struct fc_depthwise_plane_args {
    float *y;
    const float *x, *w;
    ptrdiff_t top, ih;
    size_t iw, count, rows;
    const int32_t *from;
    const float *inside;
    float bias, lo, hi;
} fc_depthwise_plane_args;

#endif
