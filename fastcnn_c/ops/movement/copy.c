/* y = x between strided layouts: transposes, concatenation, slices, expansion; elements of 1, 2, 4 or 8 bytes.
 *
 * Three ways, by what the innermost dimension of y is in x: the same (rows of bytes), strided while another dimension of y is
 * contiguous in x (tiles of a transposition, both sides in L1), anything else (element by element).
 */
#include <string.h>

#include "kernels/kernels.h"
#include "ops/walk.h"

enum {
    PIECE_BYTES = 1 << 15,   /* what a thread takes of rows at a time */
    TILE = 64,               /* edge of a transposed tile: 16 KB of floats on either side */
    STRIP = 1024,            /* of floats, which have a kernel for strips: how long a tile is along the longer axis. 64 channels of 160x160
                              * from pixels to planes 846 us in square tiles, 233 so; from planes to pixels 460, 200 (Zen 5, 2026-11-29) */
};

/* The two innermost dimensions of a walk as a table of rows x cols; strides in elements. */
typedef struct table {
    char *y;
    const char *x;
    int64_t y_row, y_col, x_row, x_col, elem;
} table;

typedef void (*table_fn)(const table *t, int64_t rows, int64_t cols);

/* fn over this thread's share of all tables, each cut into tiles of at most row_tile x col_tile. */
static void walk_tables(const fc_walk *w, const fc_team *team, table t, int64_t row_tile, int64_t col_tile, table_fn fn)
{
    const int outer = w->ndim - 2;
    const int64_t rows = w->shape[outer], cols = w->shape[outer + 1];
    const int64_t across = fc_ceil_div(cols, col_tile), tiles = fc_ceil_div(rows, row_tile) * across;
    int64_t begin, end;
    fc_share(team, fc_walk_count(w, outer) * tiles, &begin, &end);
    if (begin >= end)
        return;
    char *const y = t.y;
    const char *const x = t.x;
    fc_cursor cursor;
    fc_cursor_seek(w, outer, begin / tiles, &cursor);
    for (int64_t tile = begin % tiles; begin < end; begin++) {
        const int64_t row = tile / across * row_tile, col = tile % across * col_tile;
        t.y = y + (cursor.at[0] + row * t.y_row + col * t.y_col) * t.elem;
        t.x = x + (cursor.at[1] + row * t.x_row + col * t.x_col) * t.elem;
        fn(&t, fc_min(row_tile, rows - row), fc_min(col_tile, cols - col));
        if (++tile == tiles) {
            tile = 0;
            fc_cursor_next(w, outer, &cursor);
        }
    }
}

/* Rows of `bytes`, known to the compiler where the callers below say so. */
static inline __attribute__((always_inline)) void copy_rows(const table *t, int64_t rows, size_t bytes)
{
    const int64_t y_step = t->y_row * t->elem, x_step = t->x_row * t->elem;
    char *y = t->y;
    const char *x = t->x;
    for (int64_t r = 0; r < rows; r++, y += y_step, x += x_step)
        memcpy(y, x, bytes);
}

/* Rows that follow each other in y: `wide` bytes at a time, of which the next row overwrites what is too much, as long as neither x nor
 * y ends before that. Returns the rows that were copied. */
static inline __attribute__((always_inline)) int64_t copy_overlapping(const table *t, int64_t rows, int64_t bytes, const int64_t wide)
{
    const int64_t x_bytes = t->x_row * t->elem, shortest = fc_min(bytes, x_bytes);
    const int64_t safe = shortest < 1 ? 0 : rows - fc_ceil_div(wide - bytes, shortest);
    char *y = t->y;
    const char *x = t->x;
    for (int64_t r = 0; r < safe; r++, x += x_bytes, y += bytes)
        memcpy(y, x, (size_t)wide);
    return fc_max(safe, 0);
}

static void copy_joined_rows(const table *t, int64_t rows, int64_t bytes)
{
    const int64_t done = bytes <= 16 ? copy_overlapping(t, rows, bytes, 16) : copy_overlapping(t, rows, bytes, 32);
    const table rest = {t->y + done * bytes, t->x + done * t->x_row * t->elem, t->y_row, t->y_col, t->x_row, t->x_col, t->elem};
    copy_rows(&rest, rows - done, (size_t)bytes);
}

static void copy_short_rows(const table *t, int64_t rows, int64_t cols)
{
    const size_t bytes = (size_t)(cols * t->elem);
    if (bytes > 4 && bytes < 32 && bytes % 8 != 0 && t->y_row == cols) {
        copy_joined_rows(t, rows, (int64_t)bytes);
        return;
    }
    switch (bytes) {
    case 1: copy_rows(t, rows, 1); break;
    case 2: copy_rows(t, rows, 2); break;
    case 3: copy_rows(t, rows, 3); break;
    case 4: copy_rows(t, rows, 4); break;
    case 8: copy_rows(t, rows, 8); break;
    case 12: copy_rows(t, rows, 12); break;
    case 16: copy_rows(t, rows, 16); break;
    case 32: copy_rows(t, rows, 32); break;
    case 64: copy_rows(t, rows, 64); break;
    case 128: copy_rows(t, rows, 128); break;
    default: copy_rows(t, rows, bytes); break;
    }
}

static inline __attribute__((always_inline)) void copy_elements(const table *t, int64_t rows, int64_t cols, const size_t elem)
{
    const int64_t y_step = t->y_col * (int64_t)elem, x_step = t->x_col * (int64_t)elem;
    for (int64_t r = 0; r < rows; r++) {
        char *y = t->y + r * t->y_row * (int64_t)elem;
        const char *x = t->x + r * t->x_row * (int64_t)elem;
        for (int64_t c = 0; c < cols; c++)
            memcpy(y + c * y_step, x + c * x_step, elem);
    }
}

static void copy_any(const table *t, int64_t rows, int64_t cols)
{
    switch (t->elem) {
    case 1: copy_elements(t, rows, cols, 1); break;
    case 2: copy_elements(t, rows, cols, 2); break;
    case 4: copy_elements(t, rows, cols, 4); break;
    default: copy_elements(t, rows, cols, 8); break;
    }
}

/* One value a row, repeated along it. */
static inline __attribute__((always_inline)) void fill_elements(const table *t, int64_t rows, int64_t cols, const size_t elem)
{
    for (int64_t r = 0; r < rows; r++) {
        char *restrict y = t->y + r * t->y_row * (int64_t)elem;
        uint64_t value = 0;
        memcpy(&value, t->x + r * t->x_row * (int64_t)elem, elem);
        for (int64_t c = 0; c < cols; c++)
            memcpy(y + c * (int64_t)elem, &value, elem);
    }
}

static void fill_floats(const table *t, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++) {
        uint32_t *restrict y = (uint32_t *)(void *)t->y + r * t->y_row;
        const uint32_t value = ((const uint32_t *)(const void *)t->x)[r * t->x_row];
        for (int64_t c = 0; c < cols; c++)
            y[c] = value;
    }
}

static void fill(const table *t, int64_t rows, int64_t cols)
{
    switch (t->elem) {
    case 1: fill_elements(t, rows, cols, 1); break;
    case 2: fill_elements(t, rows, cols, 2); break;
    case 4: fill_floats(t, rows, cols); break;
    default: fill_elements(t, rows, cols, 8); break;
    }
}

/* Rows of the table are contiguous in x, columns in y. */
static void transpose(const table *t, int64_t rows, int64_t cols)
{
    if (t->elem != 4) {
        copy_any(t, rows, cols);
        return;
    }
    const fc_transpose_kernels *k = fc_active->transpose;
    float *y = (float *)(void *)t->y;
    const float *x = (const float *)(const void *)t->x;
    if (t->y_row == cols && (cols == 2 || cols == 3))
        (cols == 2 ? k->interleave2 : k->interleave3)(y, x, (size_t)t->x_col, (size_t)rows);
    else if (t->x_col == rows && rows >= 2 && rows <= 4)
        (rows == 2 ? k->deinterleave2 : rows == 3 ? k->deinterleave3 : k->deinterleave4)(y, (size_t)t->y_row, x, (size_t)cols);
    else
        k->block(y, (size_t)t->y_row, x, (size_t)t->x_col, (size_t)cols, (size_t)rows);
}

/* Make dimension d the second innermost one, keeping the order of the others. */
static void move_to_rows(fc_walk *w, int d)
{
    for (; d + 2 < w->ndim; d++) {
        fc_walk swapped = *w;
        for (int k = 0; k < w->operands; k++) {
            swapped.stride[k][d] = w->stride[k][d + 1];
            swapped.stride[k][d + 1] = w->stride[k][d];
        }
        swapped.shape[d] = w->shape[d + 1];
        swapped.shape[d + 1] = w->shape[d];
        *w = swapped;
    }
}

/* A table needs two dimensions. */
static void ensure_rows(fc_walk *w)
{
    if (w->ndim > 1)
        return;
    w->ndim = 2;
    w->shape[1] = w->shape[0];
    w->shape[0] = 1;
    for (int k = 0; k < w->operands; k++) {
        w->stride[k][1] = w->stride[k][0];
        w->stride[k][0] = 0;
    }
}

/* The dimension that is contiguous in x, if any but the innermost is. */
static int contiguous_in_x(const fc_walk *w)
{
    for (int d = 0; d + 1 < w->ndim; d++)
        if (w->stride[1][d] == 1)
            return d;
    return -1;
}

fc_status fc_run_copy(const void *params, void *const *t, const fc_team *team)
{
    const fc_copy *p = params;
    fc_walk w;
    fc_walk_make(&w, p->ndim, p->shape, 2, (const int64_t *const[]){p->y_strides, p->x_strides});
    ensure_rows(&w);
    const int inner = w.ndim - 1;
    const int64_t y_step = w.stride[0][inner], x_step = w.stride[1][inner];
    const int crossing = y_step == 1 && x_step != 1 ? contiguous_in_x(&w) : -1;
    if (crossing >= 0)
        move_to_rows(&w, crossing);
    const int64_t rows = w.shape[inner - 1], cols = w.shape[inner];
    if (rows == 0 || cols == 0)
        return FC_OK;
    const table whole = {t[0], t[1], w.stride[0][inner - 1], y_step, w.stride[1][inner - 1], x_step, p->elem_bytes};
    if (crossing >= 0) {
        const int64_t length = p->elem_bytes == 4 ? STRIP : TILE;
        walk_tables(&w, team, whole, rows < cols ? TILE : length, rows < cols ? length : TILE, transpose);
        return FC_OK;
    }
    const int64_t col_tile = PIECE_BYTES / p->elem_bytes;
    const int64_t row_tile = fc_max(1, col_tile / cols);
    walk_tables(&w, team, whole, row_tile, col_tile,
                y_step == 1 && x_step == 1 ? copy_short_rows : y_step == 1 && x_step == 0 ? fill : copy_any);
    return FC_OK;
}
