/* Packing of weights, once per model. */
#include "kernels/kernels.h"

#include <string.h>

size_t fc_gemm_packed_floats(int64_t n, int64_t k, int64_t nv)
{
    (void)nv;
    const int64_t v = fc_active->vector_length;
    return (size_t)((n + v - 1) / v * v * k);
}

void fc_gemm_pack_b(float *packed, const float *w, int64_t n, int64_t k, int64_t ldw, int transposed, int64_t nv)
{
    const int64_t v = fc_active->vector_length;
    for (int64_t j0 = 0; j0 < n; j0 += nv * v) {
        const int64_t columns = n - j0 < nv * v ? n - j0 : nv * v, width = (columns + v - 1) / v * v;
        for (int64_t p = 0; p < k; p++, packed += width) {
            for (int64_t j = 0; j < columns; j++)
                packed[j] = transposed ? w[p * ldw + j0 + j] : w[(j0 + j) * ldw + p];
            memset(packed + columns, 0, (size_t)(width - columns) * sizeof *packed);
        }
    }
}
