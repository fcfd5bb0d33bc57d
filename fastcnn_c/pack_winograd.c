/* Winograd filters: U = G g G^T of every filter (G g, g G^T along one axis), in double, rounded once, and packed as one GEMM operand a
 * position. */
#include "kernels/kernels.h"

#include <string.h>

enum { MAX_E = FC_WINOGRAD_MAX_E, MAX_R = FC_WINOGRAD_MAX_R, MAX_TAPS = 25, MAX_WIDTH = FC_GEMM_MAX_NV * FC_MAX_VECTOR };

/* G of an axis: positions x taps. */
typedef struct axis {
    int positions, taps;
    double g[MAX_E][MAX_R];
} axis;

/* Row p of G: the filter's value at p over the product of the point's distances to the others, times |p| where that is not 0
 * (kernels/winograd.h); for infinity its leading coefficient. With a stride of 2: of the taps 0 and 2, and tap 1 for each of two outputs. */
static axis filter_transform(int64_t m, int64_t r, int64_t s)
{
    axis a = {.positions = (int)fc_winograd_positions(m, r, s), .taps = (int)r};
    if (s == 2) {
        static const double strided[FC_WINOGRAD_STRIDED_E][3] = {{1, 0, 0}, {1, 0, 1}, {0, 0, 1}, {0, 1, 0}, {0, 1, 0}};
        for (int i = 0; i < FC_WINOGRAD_STRIDED_E; i++)
            memcpy(a.g[i], strided[i], sizeof strided[i]);
        return a;
    }
    const int zero = fc_winograd_has_zero(a.positions), finite = a.positions - 1;
    a.g[finite][r - 1] = 1.0;
    double points[MAX_E] = {0.0};
    for (int i = zero; i < finite; i++)
        points[i] = fc_winograd_point(a.positions, (i - zero) / 2) * ((i - zero) % 2 ? -1.0 : 1.0);
    for (int i = 0; i < finite; i++) {
        double value = i < zero ? 1.0 : points[i] < 0.0 ? -points[i] : points[i];
        for (int k = 0; k < finite; k++)
            if (k != i)
                value /= points[i] - points[k];
        for (int t = 0; t < r; t++, value *= points[i])
            a.g[i][t] = value;
    }
    return a;
}

/* Filters of `count` neighbouring output channels, filter_step floats apart: u[(i*columns + j) * position + filter] = (G g G^T)[i][j].
 * The filters run innermost, so that compilers compute several at once. */
static void transform_filters(float *u, size_t position, const char *g, size_t filter_step, int count, const axis *down,
                              const axis *along)
{
    double taps[MAX_TAPS][MAX_WIDTH], row[MAX_R][MAX_WIDTH], sum[MAX_WIDTH];
    const int window = down->taps * along->taps;
    for (int f = 0; f < count; f++) {
        float filter[MAX_TAPS];
        memcpy(filter, g + (size_t)f * filter_step * sizeof *filter, (size_t)window * sizeof *filter);
        for (int t = 0; t < window; t++)
            taps[t][f] = filter[t];
    }
    for (int i = 0; i < down->positions; i++) {
        memset(row, 0, (size_t)along->taps * sizeof *row);
        for (int c = 0; c < along->taps; c++)
            for (int t = 0; t < down->taps; t++)
                for (int f = 0; f < count; f++)
                    row[c][f] += down->g[i][t] * taps[t * along->taps + c][f];
        for (int j = 0; j < along->positions; j++) {
            memset(sum, 0, sizeof sum);
            for (int c = 0; c < along->taps; c++)
                for (int f = 0; f < count; f++)
                    sum[f] += along->g[j][c] * row[c][f];
            float *to = u + (size_t)(i * along->positions + j) * position;
            for (int f = 0; f < count; f++)
                to[f] = (float)sum[f];
        }
    }
}

int fc_winograd_covers(int64_t m, int64_t kh, int64_t kw, int64_t s)
{
    const int64_t r = kh > kw ? kh : kw, e = m + r - 1;
    if (s == 2)
        return m == 2 && kh == 3 && kw == 3;
    if (s != 1 || e == FC_WINOGRAD_STRIDED_E || (kh != kw && kh != 1 && kw != 1))
        return 0;
    if (m < 2 || r < 2 || m > FC_WINOGRAD_MAX_M || r > FC_WINOGRAD_MAX_R || e > FC_WINOGRAD_MAX_E)
        return 0;
    return fc_active->winograd->output[kh == kw][e][m] != NULL && kh * kw <= MAX_TAPS;
}

size_t fc_winograd_packed_floats(int64_t m, int64_t kh, int64_t kw, int64_t s, int64_t oc, int64_t ic, int64_t nv)
{
    return (size_t)(fc_winograd_positions(m, kh, s) * fc_winograd_positions(m, kw, s)) * fc_gemm_packed_floats(oc, ic, nv);
}

void fc_winograd_pack(float *packed, const void *w, int64_t m, int64_t kh, int64_t kw, int64_t s, int64_t oc, int64_t ic, int64_t nv)
{
    const int64_t v = fc_active->vector_length, taps = kh * kw;
    const size_t position = fc_gemm_packed_floats(oc, ic, nv);
    const axis down = filter_transform(m, kh, s), along = filter_transform(m, kw, s);
    for (int64_t o = 0; o < oc; o += nv * v) {
        const int64_t columns = oc - o < nv * v ? oc - o : nv * v, width = (columns + v - 1) / v * v;
        for (int64_t k = 0; k < ic; k++, packed += width) {
            const char *filters = (const char *)w + (size_t)((o * ic + k) * taps) * sizeof(float);
            transform_filters(packed, position, filters, (size_t)(ic * taps), (int)columns, &down, &along);
            for (int e = 0; e < down.positions * along.positions; e++)
                memset(packed + (size_t)e * position + columns, 0, (size_t)(width - columns) * sizeof *packed);
        }
    }
}
