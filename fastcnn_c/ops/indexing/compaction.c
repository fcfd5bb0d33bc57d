/* NonZero and Compress, whose output extent depends on the data: indices of non-zero elements, slices that a condition keeps. Both write `count`,
 * the extent they came to, and their output without gaps for that extent.
 */
#include <string.h>

#include "ops/dtypes.h"
#include "team.h"

enum { CHUNK = 256 };   /* elements looked at before their indices are written */

/* Without a branch an element: where half of them are zero each would be guessed wrong every other time. */
#define SET_LOOP(type) \
    for (int64_t i = 0; i < n; i++) { at[count] = (int32_t)i; count += ((const type *)x)[i] != 0; } break
#define COUNT_LOOP(type) for (int64_t i = 0; i < n; i++) count += ((const type *)x)[i] != 0; break

/* at: which of n <= CHUNK elements are not zero (-0 is); returns how many. */
static int64_t set_elements(int32_t *at, const void *x, int64_t n, int64_t dtype)
{
    int64_t count = 0;
    switch (dtype) {
    case FC_F32: SET_LOOP(float);
    case FC_F64: SET_LOOP(double);
    default:
        switch (fc_dtype_bytes(dtype)) {
        case 1: SET_LOOP(uint8_t);
        case 2: SET_LOOP(uint16_t);
        case 4: SET_LOOP(uint32_t);
        default: SET_LOOP(uint64_t);
        }
    }
    return count;
}

static int64_t count_set(const void *x, int64_t n, int64_t dtype)
{
    int64_t count = 0;
    switch (dtype) {
    case FC_F32: COUNT_LOOP(float);
    case FC_F64: COUNT_LOOP(double);
    default:
        switch (fc_dtype_bytes(dtype)) {
        case 1: COUNT_LOOP(uint8_t);
        case 2: COUNT_LOOP(uint16_t);
        case 4: COUNT_LOOP(uint32_t);
        default: COUNT_LOOP(uint64_t);
        }
    }
    return count;
}

/* The indices of the elements of one row that are not zero, from number k of `total` on; returns how many. index: those of the row. */
static int64_t put_row(const fc_nonzero *p, int64_t *y, int64_t total, int64_t k, const char *row, const int64_t *index)
{
    const int64_t length = p->shape[p->ndim - 1], bytes = fc_dtype_bytes(p->dtype), start = k;
    int32_t at[CHUNK];
    for (int64_t first = 0; first < length; first += CHUNK) {
        const int64_t count = set_elements(at, row + first * bytes, fc_min(CHUNK, length - first), p->dtype);
        for (int64_t i = 0; i < count; i++)
            y[(p->ndim - 1) * total + k + i] = first + at[i];
        k += count;
    }
    for (int64_t d = 0; d < p->ndim - 1; d++)
        for (int64_t i = start; i < k; i++)
            y[d * total + i] = index[d];
    return k - start;
}

fc_status fc_run_nonzero(const void *params, void *const *t, const fc_team *team)
{
    const fc_nonzero *p = params;
    const int64_t length = p->shape[p->ndim - 1], row_bytes = length * fc_dtype_bytes(p->dtype);
    int64_t rows = 1, index[FC_MAX_DIMS] = {0}, k = 0;
    (void)team;
    for (int64_t d = 0; d < p->ndim - 1; d++)
        rows *= p->shape[d];
    const int64_t total = count_set(t[2], rows * length, p->dtype);
    *(int64_t *)t[1] = total;
    for (int64_t row = 0; row < rows && k < total; row++) {
        k += put_row(p, t[0], total, k, (const char *)t[2] + row * row_bytes, index);
        for (int64_t d = p->ndim - 2; d >= 0 && ++index[d] == p->shape[d]; d--)
            index[d] = 0;
    }
    return FC_OK;
}

fc_status fc_run_compress(const void *params, void *const *t, const fc_team *team)
{
    const fc_compress *p = params;
    const size_t bytes = (size_t)(p->inner * p->elem_bytes);
    const uint8_t *condition = t[3];
    char *y = t[0];
    int64_t total = 0;
    (void)team;
    for (int64_t i = 0; i < p->length; i++)
        total += condition[i] != 0;
    *(int64_t *)t[1] = total;
    for (int64_t o = 0; o < p->outer; o++)
        for (int64_t i = 0; i < p->length; i++)
            if (condition[i]) {
                memcpy(y, (const char *)t[2] + (size_t)(o * p->axis + i) * bytes, bytes);
                y += bytes;
            }
    return FC_OK;
}
