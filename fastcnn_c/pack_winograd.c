/* Winograd filters: U = G g G^T of every 3x3 filter, in double, rounded once, and packed as one GEMM operand a position. */
#include "kernels/kernels.h"

#include <string.h>

/* Rows of G for F(m, 3): the filter's value at each point over the product of the point's distances to the others, and the
 * leading coefficient for infinity. For m = 4 the rows of +-5/8 and +-3/2 carry a factor 5/8 and 3/2 that kernels/winograd.inc
 * divides out again. */
static const double G2[4][3] = {{1.0, 0.0, 0.0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0.0, 0.0, 1.0}};

enum { MAX_E = 6, MAX_WIDTH = FC_GEMM_MAX_NV * FC_MAX_VECTOR };

static void filter_transform(double g_matrix[MAX_E][3], int64_t m)
{
    static const double points[] = {0.0, 0.625, -0.625, 1.5, -1.5};
    static const double factors[] = {1.0, 0.625, 0.625, 1.5, 1.5};
    if (m == 2) {
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 3; j++)
                g_matrix[i][j] = G2[i][j];
        return;
    }
    for (int i = 0; i < 5; i++) {
        double distances = 1.0;
        for (int k = 0; k < 5; k++)
            if (k != i)
                distances *= points[i] - points[k];
        const double scale = factors[i] / distances;
        g_matrix[i][0] = scale;
        g_matrix[i][1] = scale * points[i];
        g_matrix[i][2] = scale * points[i] * points[i];
    }
    g_matrix[5][0] = g_matrix[5][1] = 0.0;
    g_matrix[5][2] = 1.0;
}

/* Filters of `count` neighbouring output channels, filter_step floats apart: u[(i*e + j) * position + filter] = (G g G^T)[i][j].
 * The filters run innermost, so that compilers compute several at once. */
static void transform_filters(float *u, size_t position, const char *g, size_t filter_step, int count,
                              double g_matrix[MAX_E][3], int e)
{
    double taps[9][MAX_WIDTH], rows[3][MAX_WIDTH];
    for (int f = 0; f < count; f++) {
        float filter[9];
        memcpy(filter, g + (size_t)f * filter_step * sizeof *filter, sizeof filter);
        for (int t = 0; t < 9; t++)
            taps[t][f] = filter[t];
    }
    for (int i = 0; i < e; i++) {
        const double *a = g_matrix[i];
        for (int c = 0; c < 3; c++)
            for (int f = 0; f < count; f++)
                rows[c][f] = a[0] * taps[c][f] + a[1] * taps[3 + c][f] + a[2] * taps[6 + c][f];
        for (int j = 0; j < e; j++) {
            const double *b = g_matrix[j];
            float *to = u + (size_t)(i * e + j) * position;
            for (int f = 0; f < count; f++)
                to[f] = (float)(rows[0][f] * b[0] + rows[1][f] * b[1] + rows[2][f] * b[2]);
        }
    }
}

size_t fc_winograd_packed_floats(int64_t m, int64_t oc, int64_t ic, int64_t nv)
{
    return (size_t)((m + 2) * (m + 2)) * fc_gemm_packed_floats(oc, ic, nv);
}

void fc_winograd_pack(float *packed, const void *w, int64_t m, int64_t oc, int64_t ic, int64_t nv)
{
    const int64_t v = fc_active->vector_length;
    const size_t position = fc_gemm_packed_floats(oc, ic, nv);
    double g_matrix[MAX_E][3];
    filter_transform(g_matrix, m);
    for (int64_t o = 0; o < oc; o += nv * v) {
        const int64_t columns = oc - o < nv * v ? oc - o : nv * v, width = (columns + v - 1) / v * v;
        for (int64_t k = 0; k < ic; k++, packed += width) {
            const char *filters = (const char *)w + (size_t)(o * ic + k) * 9 * sizeof(float);
            transform_filters(packed, position, filters, (size_t)ic * 9, (int)columns, g_matrix, (int)m + 2);
            for (int64_t e = 0; e < (m + 2) * (m + 2); e++)
                memset(packed + (size_t)e * position + columns, 0, (size_t)(width - columns) * sizeof *packed);
        }
    }
}
