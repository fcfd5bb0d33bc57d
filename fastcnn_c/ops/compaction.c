/* Results as long as the data say: the indices of what is not zero, and the slices that a condition keeps. Both write `count`,
 * the extent they came to, and their output without gaps for that extent.
 */
#include <string.h>

#include "dtypes.h"
#include "../team.h"

static int is_set(const char *x, int64_t bytes, int floating)
{
    static const char nothing[8] = {0};
    if (!floating)
        return memcmp(x, nothing, (size_t)bytes) != 0;
    double value;
    float single;
    if (bytes == 8) {
        memcpy(&value, x, sizeof value);
        return value != 0;
    }
    memcpy(&single, x, sizeof single);
    return single != 0;
}

fc_status fc_run_nonzero(const void *params, void *const *t, const fc_team *team)
{
    const fc_nonzero *p = params;
    int64_t *y = t[0], total = 0, size = 1;
    const int64_t bytes = fc_dtype_bytes(p->dtype);
    const int floating = p->dtype == FC_F32 || p->dtype == FC_F64;
    const char *x = t[2];
    (void)team;
    for (int64_t d = 0; d < p->ndim; d++)
        size *= p->shape[d];
    for (int64_t i = 0; i < size; i++)
        total += is_set(x + i * bytes, bytes, floating);
    *(int64_t *)t[1] = total;
    for (int64_t i = 0, k = 0; k < total; i++) {
        if (!is_set(x + i * bytes, bytes, floating))
            continue;
        for (int64_t d = p->ndim - 1, rest = i; d >= 0; rest /= p->shape[d--])
            y[d * total + k] = rest % p->shape[d];
        k++;
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
