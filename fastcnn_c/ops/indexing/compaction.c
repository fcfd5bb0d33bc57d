/* Results as long as the data say: the indices of what is not zero, and the slices that a condition keeps. Both write `count`,
 * the extent they came to, and their output without gaps for that extent.
 */
#include <string.h>

#include "ops/dtypes.h"
#include "team.h"

#define NEXT_LOOP(type) while (i < size && !((const type *)x)[i]) i++; break

/* The first element from number i on that is not zero (-0 is), `size` when there is none. */
static int64_t next_set(const void *x, int64_t i, int64_t size, int64_t dtype)
{
    switch (dtype) {
    case FC_F32: NEXT_LOOP(float);
    case FC_F64: NEXT_LOOP(double);
    default:
        switch (fc_dtype_bytes(dtype)) {
        case 1: NEXT_LOOP(uint8_t);
        case 2: NEXT_LOOP(uint16_t);
        case 4: NEXT_LOOP(uint32_t);
        default: NEXT_LOOP(uint64_t);
        }
    }
    return i;
}

fc_status fc_run_nonzero(const void *params, void *const *t, const fc_team *team)
{
    const fc_nonzero *p = params;
    int64_t *y = t[0], total = 0, size = 1;
    (void)team;
    for (int64_t d = 0; d < p->ndim; d++)
        size *= p->shape[d];
    for (int64_t i = next_set(t[2], 0, size, p->dtype); i < size; i = next_set(t[2], i + 1, size, p->dtype))
        total++;
    *(int64_t *)t[1] = total;
    const int64_t last = p->shape[p->ndim - 1];
    int64_t index[FC_MAX_DIMS] = {0}, row_end = 0;
    for (int64_t k = 0, i = -1; k < total; k++) {
        i = next_set(t[2], i + 1, size, p->dtype);
        if (i >= row_end) {   /* the outer indices change with the row only */
            row_end = (i / last + 1) * last;
            for (int64_t d = p->ndim - 2, rest = i / last; d >= 0; rest /= p->shape[d--])
                index[d] = rest % p->shape[d];
        }
        index[p->ndim - 1] = i - (row_end - last);
        for (int64_t d = 0; d < p->ndim; d++)
            y[d * total + k] = index[d];
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
