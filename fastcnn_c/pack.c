/* Packing of weights, once per model. They may lie at any address, in a mapped file for instance: memcpy reads them. */
#include "kernels/kernels.h"

#include <string.h>

/* A block of rows on the stack, read once whole: so many floats of each row, the rows a line further apart so that they share no set. */
enum { BLOCK_ROWS = 64, BLOCK = 64, GATHER_ROWS = 16, GATHER = 256, SKEW = 16 };

size_t fc_gemm_packed_floats(int64_t n, int64_t k, int64_t nv)
{
    (void)nv;
    const int64_t v = fc_active->vector_length;
    return (size_t)((n + v - 1) / v * v * k);
}

/* panel[p * width + j] = w[j * ldw + p], j < columns, p < k */
static void pack_columns(float *panel, int64_t width, const char *w, int64_t columns, int64_t k, int64_t ldw)
{
    float block[BLOCK_ROWS * (BLOCK + SKEW)];
    for (int64_t j0 = 0; j0 < columns; j0 += BLOCK_ROWS)
        for (int64_t p0 = 0; p0 < k; p0 += BLOCK) {
            const int64_t rows = columns - j0 < BLOCK_ROWS ? columns - j0 : BLOCK_ROWS, count = k - p0 < BLOCK ? k - p0 : BLOCK;
            for (int64_t j = 0; j < rows; j++)
                memcpy(block + j * (BLOCK + SKEW), w + ((j0 + j) * ldw + p0) * (int64_t)sizeof(float), (size_t)count * sizeof(float));
            fc_active->transpose->block(panel + p0 * width + j0, (size_t)width, block, BLOCK + SKEW, (size_t)rows, (size_t)count);
        }
}

void fc_gemm_pack_b(float *packed, const void *w, int64_t n, int64_t k, int64_t ldw, int transposed, int64_t nv)
{
    const int64_t v = fc_active->vector_length, bytes = sizeof(float);
    for (int64_t j0 = 0; j0 < n; j0 += nv * v) {
        const int64_t columns = n - j0 < nv * v ? n - j0 : nv * v, width = (columns + v - 1) / v * v;
        if (transposed)
            for (int64_t p = 0; p < k; p++)
                memcpy(packed + p * width, (const char *)w + (p * ldw + j0) * bytes, (size_t)(columns * bytes));
        else
            pack_columns(packed, width, (const char *)w + j0 * ldw * bytes, columns, k, ldw);
        for (int64_t p = 0; p < k && columns < width; p++)
            memset(packed + p * width + columns, 0, (size_t)((width - columns) * bytes));
        packed += k * width;
    }
}

/* panel[(t * ic + c) * width + j] = w[(j * ic + c) * taps + t], j < columns, taps <= GATHER */
static void pack_filters(float *panel, int64_t width, const char *w, int64_t columns, int64_t ic, int64_t taps)
{
    float block[GATHER_ROWS * (GATHER + SKEW)];
    for (int64_t j0 = 0; j0 < columns; j0 += GATHER_ROWS)
        for (int64_t c0 = 0; c0 < ic; c0 += GATHER / taps) {
            const int64_t rows = columns - j0 < GATHER_ROWS ? columns - j0 : GATHER_ROWS;
            const int64_t channels = ic - c0 < GATHER / taps ? ic - c0 : GATHER / taps;
            for (int64_t j = 0; j < rows; j++)
                memcpy(block + j * (GATHER + SKEW), w + ((j0 + j) * ic + c0) * taps * (int64_t)sizeof(float),
                       (size_t)(channels * taps) * sizeof(float));
            for (int64_t c = 0; c < channels; c++)
                for (int64_t t = 0; t < taps; t++) {
                    float *to = panel + (t * ic + c0 + c) * width + j0;
                    for (int64_t j = 0; j < rows; j++)
                        to[j] = block[j * (GATHER + SKEW) + c * taps + t];
                }
        }
}

void fc_conv_pack(float *packed, const void *w, int64_t oc, int64_t ic, int64_t taps, int64_t nv)
{
    const int64_t v = fc_active->vector_length, k = ic * taps;
    for (int64_t j0 = 0; j0 < oc; j0 += nv * v) {
        const int64_t columns = oc - j0 < nv * v ? oc - j0 : nv * v, width = (columns + v - 1) / v * v;
        const char *filters = (const char *)w + j0 * k * (int64_t)sizeof(float);
        if (taps == 1)
            pack_columns(packed, width, filters, columns, k, k);
        else if (taps <= GATHER)
            pack_filters(packed, width, filters, columns, ic, taps);
        else
            for (int64_t j = 0; j < columns; j++)
                for (int64_t p = 0; p < k; p++)
                    memcpy(packed + (p % taps * ic + p / taps) * width + j, filters + (j * k + p) * (int64_t)sizeof(float), sizeof(float));
        for (int64_t p = 0; p < k && columns < width; p++)
            memset(packed + p * width + columns, 0, (size_t)(width - columns) * sizeof(float));
        packed += k * width;
    }
}
