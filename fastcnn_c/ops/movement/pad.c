/* y = x with a border: constant, reflected, edge or wrapped; negative borders cut. Elements of 1, 2, 4 or 8 bytes.
 *
 * Index i of y is index i - before of x, mapped back inside by the mode. The innermost dimension is three runs: left, middle,
 * right; the outer ones choose which row of x a row of y shows, or that it is all border.
 */
#include <string.h>

#include "team.h"

enum { CONSTANT = 0, REFLECT = 1, EDGE = 2, WRAP = 3 };

typedef struct pad_dims {
    int ndim;
    int64_t shape[FC_MAX_DIMS], x_shape[FC_MAX_DIMS], before[FC_MAX_DIMS], y_stride[FC_MAX_DIMS], x_stride[FC_MAX_DIMS];
} pad_dims;

static int64_t modulo(int64_t i, int64_t n)
{
    const int64_t m = i % n;
    return m < 0 ? m + n : m;
}

/* Where index i of an axis of n elements is taken from; -1: from the border's constant. */
static int64_t source_index(int64_t i, int64_t n, int64_t mode)
{
    if (i >= 0 && i < n)
        return i;
    switch (mode) {
    case REFLECT: {
        if (n == 1)
            return 0;
        const int64_t m = modulo(i, 2 * (n - 1));
        return m < n ? m : 2 * (n - 1) - m;
    }
    case EDGE: return i < 0 ? 0 : n - 1;
    case WRAP: return modulo(i, n);
    default: return -1;
    }
}

/* Axes by stride of y, largest first, in stable order. */
static void memory_order(int *order, const fc_pad *p)
{
    for (int d = 0; d < p->ndim; d++) {
        int e = d;
        for (; e > 0 && p->y_strides[order[e - 1]] < p->y_strides[d]; e--)
            order[e] = order[e - 1];
        order[e] = d;
    }
}

/* Without padding in it, an inner dimension is part of the one around it. Other modes than constant pick whole inner rows, so
 * there only dimensions that are both unpadded merge. */
static void make_dims(pad_dims *d, const fc_pad *p)
{
    int order[FC_MAX_DIMS];
    memory_order(order, p);
    d->ndim = 0;
    for (int64_t axis = 0; axis < p->ndim; axis++) {
        const int k = order[axis];
        const int last = d->ndim - 1;
        const int whole = p->before[k] == 0 && p->shape[k] == p->x_shape[k];
        if (last >= 0 && whole && d->y_stride[last] == p->y_strides[k] * p->shape[k] && d->x_stride[last] == p->x_strides[k] * p->x_shape[k]
            && (p->mode == CONSTANT || (d->before[last] == 0 && d->shape[last] == d->x_shape[last]))) {
            d->shape[last] *= p->shape[k];
            d->x_shape[last] *= p->shape[k];
            d->before[last] *= p->shape[k];
            d->y_stride[last] = p->y_strides[k];
            d->x_stride[last] = p->x_strides[k];
            continue;
        }
        d->shape[d->ndim] = p->shape[k];
        d->x_shape[d->ndim] = p->x_shape[k];
        d->before[d->ndim] = p->before[k];
        d->y_stride[d->ndim] = p->y_strides[k];
        d->x_stride[d->ndim] = p->x_strides[k];
        d->ndim++;
    }
    if (d->ndim == 0)
        *d = (pad_dims){.ndim = 1, .shape = {1}, .x_shape = {1}, .y_stride = {1}, .x_stride = {1}};
}

static void copy_run(char *y, int64_t y_step, const char *x, int64_t x_step, int64_t n, size_t elem)
{
    if (n <= 0)
        return;
    if (y_step == 1 && x_step == 1) {
        memcpy(y, x, (size_t)n * elem);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(y + i * y_step * (int64_t)elem, x + i * x_step * (int64_t)elem, elem);
}

/* n copies of one value: doubling runs where they are contiguous. */
static void fill_run(char *y, int64_t y_step, const void *value, int64_t n, size_t elem)
{
    if (n <= 0)
        return;
    if (y_step != 1) {
        copy_run(y, y_step, value, 0, n, elem);
        return;
    }
    memcpy(y, value, elem);
    for (int64_t done = 1; done < n; done *= 2)
        memcpy(y + done * (int64_t)elem, y, (size_t)fc_min(done, n - done) * elem);
}

/* One innermost row; x is NULL when the whole row is border. */
static void pad_row(char *y, const char *x, const pad_dims *d, int64_t mode, const void *value, size_t elem)
{
    const int k = d->ndim - 1;
    const int64_t n = d->shape[k], y_step = d->y_stride[k], x_step = d->x_stride[k], e = (int64_t)elem;
    if (x == NULL) {
        fill_run(y, y_step, value, n, elem);
        return;
    }
    const int64_t begin = fc_min(fc_max(d->before[k], 0), n), end = fc_max(begin, fc_min(d->before[k] + d->x_shape[k], n));
    copy_run(y + begin * y_step * e, y_step, x + (begin - d->before[k]) * x_step * e, x_step, end - begin, elem);
    if (mode == CONSTANT) {
        fill_run(y, y_step, value, begin, elem);
        fill_run(y + end * y_step * e, y_step, value, n - end, elem);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (i == begin)
            i = end;
        if (i < n)
            memcpy(y + i * y_step * e, x + source_index(i - d->before[k], d->x_shape[k], mode) * x_step * e, elem);
    }
}

fc_status fc_run_pad(const void *params, void *const *t, const fc_team *team)
{
    const fc_pad *p = params;
    static const uint64_t zero = 0;
    const void *value = t[2] ? t[2] : &zero;
    const size_t elem = (size_t)p->elem_bytes;
    pad_dims d;
    make_dims(&d, p);
    const int outer = d.ndim - 1;
    int64_t rows = d.shape[outer] > 0, begin, end;
    for (int k = 0; k < outer; k++)
        rows *= d.shape[k];
    fc_share(team, rows, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        int64_t rest = row, y = 0, x = 0;
        int border = 0;
        for (int k = outer - 1; k >= 0; k--) {
            const int64_t i = rest % d.shape[k], source = source_index(i - d.before[k], d.x_shape[k], p->mode);
            rest /= d.shape[k];
            y += i * d.y_stride[k];
            x += source * d.x_stride[k];
            border |= source < 0;
        }
        pad_row((char *)t[0] + y * p->elem_bytes, border ? NULL : (const char *)t[1] + x * p->elem_bytes, &d, p->mode, value, elem);
    }
    return FC_OK;
}
