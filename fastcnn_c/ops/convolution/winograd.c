/* Convolution by Winograd: F(m x m, r x r), or F(m, r) along one axis for windows of 1 x r and r x 1, in blocks of tiles that stay in the L2
 * cache. Stride 1, or 2 for 3x3 (kernels/winograd.h).
 *
 * A block: transform the input patch of each of `tiles` tiles to e x e or e positions, e = (m - 1) * stride + r; a product V[position] U[position]
 * of [tiles][ic] by [ic][oc] for each; transform back with the whole epilogue, straight into y. Tiles are numbered through images, rows of
 * tiles, columns of tiles; the last ones of a row or column may be cut off. Scratch of a block, in floats:
 *
 *     V  [position][tile][lda]    M  [position][tile][ldm]    lda, ldm: ic, oc in whole vectors, off multiples of 2 KB
 *
 * Threads take whole blocks while there are enough of them; otherwise they share each block (shared_block). The numbers are the
 * same either way: a tile's row of V and M depends on nothing but the tile.
 */
#include "team.h"
#include "ops/epilogue.h"

typedef struct geometry {
    int64_t mh, mw, eh, ew;                           /* outputs and positions of a tile, rows and columns */
    int64_t tile_rows, tile_columns, total, blocks;   /* of one image, of one image, of all images, of all images */
    size_t lda, ldm, v_position, m_position;
    size_t positions;
} geometry;

/* Floats between rows: whole vectors, and rows not a multiple of 2 KB apart, so that the rows of a register tile fall into
 * different sets of the L1 cache. */
static size_t leading(int64_t c)
{
    enum { ALIAS = 512 };
    const int64_t v = fc_active->vector_length;
    const int64_t ld = fc_ceil_div(c, v) * v;
    return (size_t)(ld % ALIAS ? ld : ld + FC_ALIGN / (int64_t)sizeof(float));
}

/* Floats between positions: an odd number of cache lines, because a transform walks all positions at once. */
static size_t position_stride(size_t floats)
{
    const size_t line = FC_ALIGN / sizeof(float);
    return ((floats + line - 1) / line | 1) * line;
}

static geometry measure(const fc_winograd *p)
{
    geometry g;
    g.mh = fc_winograd_outputs(p->m, p->kh);
    g.mw = fc_winograd_outputs(p->m, p->kw);
    g.eh = fc_winograd_positions(p->m, p->kh, p->sh);
    g.ew = fc_winograd_positions(p->m, p->kw, p->sw);
    g.positions = (size_t)(g.eh * g.ew);
    g.tile_rows = fc_ceil_div(p->oh, g.mh);
    g.tile_columns = fc_ceil_div(p->ow, g.mw);
    g.total = p->n * g.tile_rows * g.tile_columns;
    g.blocks = fc_ceil_div(g.total, p->tiles);
    g.lda = leading(p->ic);
    g.ldm = leading(p->oc);
    g.v_position = position_stride(g.lda * (size_t)p->tiles);
    g.m_position = position_stride(g.ldm * (size_t)p->tiles);
    return g;
}

size_t fc_scratch_winograd(const void *params, int threads)
{
    (void)threads;
    const geometry g = measure(params);
    return fc_align_up(g.positions * (g.v_position + g.m_position) * sizeof(float));
}

/* Where an image starts: they lie `image` apart in runs of p->inner, the runs `outer` apart. */
static int64_t image_at(const fc_winograd *p, int64_t n, int64_t image, int64_t outer)
{
    return n / p->inner * outer + n % p->inner * image;
}

/* Where tile `index` lies: image, first output row, first output column. */
typedef struct spot {
    int64_t n, y, x;
} spot;

static spot place_of(const geometry *g, int64_t index)
{
    const int64_t row = index / g->tile_columns;
    return (spot){row / g->tile_rows, row % g->tile_rows * g->mh, index % g->tile_columns * g->mw};
}

/* A window of one column: its patches and tiles lie along rows, as those of one row along columns. */
static void turn_patch(fc_winograd_input_args *a)
{
    const fc_winograd_input_args b = *a;
    a->row = b.pixel, a->pixel = b.row, a->top = b.left, a->bottom = b.right, a->left = b.top, a->right = b.bottom;
}

static void turn_tile(fc_winograd_output_args *a)
{
    const fc_winograd_output_args b = *a;
    a->row = b.pixel, a->pixel = b.row, a->rows = b.columns, a->columns = b.rows;
    a->residual_row = b.residual_pixel, a->residual_pixel = b.residual_row;
}

/* Tiles [begin, end) of the block that starts at tile `first`: V. */
static void transform_in(const fc_winograd *p, const geometry *g, const float *x, float *v, int64_t first, int64_t begin,
                         int64_t end)
{
    void (*const transform)(const fc_winograd_input_args *) = fc_active->winograd->input[p->kh == p->kw][fc_max(g->eh, g->ew)];
    for (int64_t tile = begin; tile < end; tile++) {
        const spot at = place_of(g, first + tile);
        const int64_t top = at.y * p->sh - p->pt, left = at.x * p->sw - p->pl;
        fc_winograd_input_args args = {
            .v = v + (size_t)tile * g->lda, .position = g->v_position,
            .row = (size_t)p->x_row, .pixel = (size_t)p->x_pixel, .c = (size_t)p->ic,
            .top = (int)fc_min(g->eh, fc_max(0, -top)), .bottom = (int)fc_max(0, fc_min(g->eh, p->ih - top)),
            .left = (int)fc_min(g->ew, fc_max(0, -left)), .right = (int)fc_max(0, fc_min(g->ew, p->iw - left))};
        if (args.top >= args.bottom || args.left >= args.right)
            args.top = args.bottom = args.left = args.right = 0;   /* padding alone: x is not read */
        else
            args.x = x + image_at(p, at.n, p->x_image, p->x_outer) + (top + args.top) * p->x_row + (left + args.left) * p->x_pixel;
        if (p->kw == 1)
            turn_patch(&args);
        transform(&args);
    }
}

/* Products [begin, end) of positions x panels of output channels for `count` tiles: M. Rows are cut into register tiles of
 * nearly equal height, the same whoever computes them. */
static void multiply(const fc_winograd *p, const geometry *g, const float *u, const float *v, float *m, int64_t count,
                     int64_t begin, int64_t end)
{
    static const fc_tap tap[1] = {{0, 0}};
    const int64_t vector = fc_active->vector_length, width = p->nv * vector, panels = fc_ceil_div(p->oc, width);
    const size_t u_position = fc_gemm_packed_floats(p->oc, p->ic, p->nv);
    for (int64_t item = begin; item < end; item++) {
        const size_t position = (size_t)(item / panels);
        const int64_t o = item % panels * width, n = fc_min(width, p->oc - o), nv = fc_ceil_div(n, vector);
        const int64_t pieces = fc_ceil_div(count, fc_active->gemm->max_mr[nv]);
        fc_gemm_args args = {
            .lda = g->lda, .ldc = g->ldm, .tap = tap, .taps = 1, .kc = (size_t)p->ic, .n = (size_t)n,
            .b = u + position * u_position + o * p->ic, .lo = -INFINITY, .hi = INFINITY,
            .prefetch_step = (size_t)fc_ceil_div(nv * vector * (int64_t)sizeof(float), pieces)};
        const char *next = (const char *)(args.b + p->ic * nv * vector);    /* panels and positions follow each other */
        const fc_equal_tiles tiles = fc_equal_tiles_of(count, pieces);
        for (int64_t row = 0, piece = 0; piece < pieces;) {
            const int64_t mr = fc_tile_outputs(tiles, piece), together = fc_tiles_alike(tiles, piece);
            args.prefetch = next + (size_t)(piece * p->ic) * args.prefetch_step;
            args.a = v + position * g->v_position + (size_t)row * g->lda;
            args.c = m + position * g->m_position + (size_t)row * g->ldm + o;
            args.more = (size_t)together - 1;
            fc_active->gemm->tile[nv][mr](&args);
            row += together * mr;
            piece += together;
        }
    }
}

/* What a tile's values still need that the transform cannot do in registers. */
static void activate(const fc_winograd *p, const fc_winograd_output_args *args, const float *slope)
{
    for (int i = 0; i < args->rows; i++)
        for (int j = 0; j < args->columns; j++)
            fc_activate_row(args->y + (size_t)i * args->row + (size_t)j * args->pixel, args->c, p->fn, p->alpha, p->beta, slope);
}

/* Tiles [begin, end) of the block that starts at tile `first`: y. */
static void transform_out(const fc_winograd *p, const geometry *g, void *const *t, const float *m, int64_t first, int64_t begin,
                          int64_t end)
{
    void (*const transform)(const fc_winograd_output_args *) =
        fc_active->winograd->output[p->kh == p->kw][fc_max(g->eh, g->ew)][p->m];
    const float *residual = t[4], *slope = t[5];
    fc_winograd_output_args all = {
        .row = (size_t)p->y_row, .pixel = (size_t)p->y_pixel, .position = g->m_position, .c = (size_t)p->oc, .bias = t[3],
        .residual_row = (size_t)p->r_row, .residual_pixel = (size_t)p->r_pixel};
    fc_clamp_bounds(fc_tile_fn(p->fn, slope), p->alpha, p->beta, &all.lo, &all.hi);
    all.rounding = fc_rounding_of(fc_tile_fn(p->fn, slope), p->alpha, p->beta, slope);
    for (int64_t tile = begin; tile < end; tile++) {
        const spot at = place_of(g, first + tile);
        fc_winograd_output_args args = all;
        args.m = m + (size_t)tile * g->ldm;
        args.y = (float *)t[0] + image_at(p, at.n, p->y_image, p->y_outer) + at.y * p->y_row + at.x * p->y_pixel;
        args.rows = (int)fc_min(g->mh, p->oh - at.y);
        args.columns = (int)fc_min(g->mw, p->ow - at.x);
        if (residual)
            args.residual = residual + image_at(p, at.n, p->r_image, p->r_outer) + at.y * p->r_row + at.x * p->r_pixel;
        if (p->kw == 1)
            turn_tile(&args);
        transform(&args);
        if (!fc_in_tile(p->fn, slope))
            activate(p, &args, slope);
    }
}

/* One block by one thread. */
static void own_block(const fc_winograd *p, const geometry *g, void *const *t, float *v, int64_t first)
{
    float *m = v + g->positions * g->v_position;
    const int64_t count = fc_min(p->tiles, g->total - first), panels = fc_ceil_div(p->oc, p->nv * fc_active->vector_length);
    transform_in(p, g, t[1], v, first, 0, count);
    multiply(p, g, t[2], v, m, count, 0, (int64_t)g->positions * panels);
    transform_out(p, g, t, m, first, 0, count);
}

/* One block by all threads: tiles, then positions x panels, then tiles are shared. The next block's V may be written while the
 * others still read this one's M; its M only after the wait in between. */
static void shared_block(const fc_winograd *p, const geometry *g, void *const *t, const fc_team *team, int64_t first)
{
    float *v = team->shared, *m = v + g->positions * g->v_position;
    const int64_t count = fc_min(p->tiles, g->total - first), panels = fc_ceil_div(p->oc, p->nv * fc_active->vector_length);
    int64_t begin, end;
    fc_share(team, count, &begin, &end);
    transform_in(p, g, t[1], v, first, begin, end);
    fc_team_wait(team);
    int64_t item, items;
    fc_share(team, (int64_t)g->positions * panels, &item, &items);
    multiply(p, g, t[2], v, m, count, item, items);
    fc_team_wait(team);
    transform_out(p, g, t, m, first, begin, end);
}

/* Whole blocks a thread are cheaper (nothing crosses between caches) unless they leave threads idle for long. */
int fc_winograd_whole_blocks(int64_t blocks, int64_t threads)
{
    const int64_t rounds = fc_ceil_div(blocks, threads);
    return threads == 1 || blocks * 4 >= rounds * threads * 3;
}

int fc_winograd_together(const void *params, int threads)
{
    return !fc_winograd_whole_blocks(measure(params).blocks, threads);
}

fc_status fc_run_winograd(const void *params, void *const *t, const fc_team *team)
{
    const fc_winograd *p = params;
    const geometry g = measure(p);
    if (team->barrier && !fc_winograd_whole_blocks(g.blocks, team->count)) {
        for (int64_t block = 0; block < g.blocks; block++)
            shared_block(p, &g, t, team, block * p->tiles);
        return FC_OK;
    }
    int64_t begin, end;
    fc_share(team, g.blocks, &begin, &end);
    for (int64_t block = begin; block < end; block++)
        own_block(p, &g, t, team->scratch, block * p->tiles);
    return FC_OK;
}
