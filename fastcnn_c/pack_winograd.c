/* Winograd filters: U = G g G^T of every 3x3 filter, in double, rounded once, and packed as one GEMM operand a position. */
#include "kernels/kernels.h"

/* Rows of G for F(m, 3): the filter's value at each point over the product of the point's distances to the others, and the
 * leading coefficient for infinity. For m = 4 the rows of +-5/8 and +-3/2 carry a factor 5/8 and 3/2 that kernels/winograd.inc
 * divides out again. */
static const double G2[4][3] = {{1.0, 0.0, 0.0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0.0, 0.0, 1.0}};

enum { MAX_E = 6 };

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

/* u[(i*e + j) * position] = (G g G^T)[i][j] */
static void transform_filter(float *u, size_t position, const float *g, double g_matrix[MAX_E][3], int e)
{
    double rows[MAX_E][3];
    for (int i = 0; i < e; i++)
        for (int j = 0; j < 3; j++)
            rows[i][j] = g_matrix[i][0] * g[j] + g_matrix[i][1] * g[3 + j] + g_matrix[i][2] * g[6 + j];
    for (int i = 0; i < e; i++)
        for (int j = 0; j < e; j++)
            u[(size_t)(i * e + j) * position] =
                (float)(rows[i][0] * g_matrix[j][0] + rows[i][1] * g_matrix[j][1] + rows[i][2] * g_matrix[j][2]);
}

size_t fc_winograd_packed_floats(int64_t m, int64_t oc, int64_t ic, int64_t nv)
{
    return (size_t)((m + 2) * (m + 2)) * fc_gemm_packed_floats(oc, ic, nv);
}

void fc_winograd_pack(float *packed, const float *w, int64_t m, int64_t oc, int64_t ic, int64_t nv)
{
    static const float zero[9];
    const int64_t v = fc_active->vector_length;
    const size_t position = fc_gemm_packed_floats(oc, ic, nv);
    double g_matrix[MAX_E][3];
    filter_transform(g_matrix, m);
    for (int64_t o = 0; o < oc; o += nv * v) {
        const int64_t columns = oc - o < nv * v ? oc - o : nv * v, width = (columns + v - 1) / v * v;
        for (int64_t k = 0; k < ic; k++)
            for (int64_t j = 0; j < width; j++)
                transform_filter(packed++, position, j < columns ? w + ((o + j) * ic + k) * 9 : zero, g_matrix, (int)m + 2);
    }
}
