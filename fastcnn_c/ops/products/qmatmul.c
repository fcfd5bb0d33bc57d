/* Matrix product of two tensors of bytes that both exist only at run time: b is made signed and packed panel by panel in scratch, then the
 * register tiles of qgemm run as in a convolution.
 *
 * b less its zero point takes nine bits: what signed bytes do not hold of it is a second and third run of k over the same a, where there is any.
 * sum (x - zx) e = sum x e - zx * sum e: the last sum is a product of a row of ones.
 */
#include <string.h>

#include "kernels/kernels.h"
#include "ops/convolution/requantise.h"
#include "team.h"

enum { WORD = 4, COPIES = 3 };

typedef struct qmatmul_run {
    const fc_qmatmul *p;
    int64_t words, width;             /* of k; columns of a panel */
    int8_t *panel, *row;              /* packed; columns of b, made signed, before they are */
    uint8_t *ones;
    uint32_t shape;
} qmatmul_run;

static size_t panel_bytes(const fc_qmatmul *p) { return (size_t)(fc_ceil_div(p->k, WORD) * WORD * p->nv * fc_active->vector_length); }

size_t fc_scratch_qmatmul(const void *params, int threads)
{
    (void)threads;
    const fc_qmatmul *p = params;
    return (COPIES + 1) * fc_align_up(panel_bytes(p)) + fc_align_up((size_t)p->k + WORD);
}

/* Copy number `copy` of columns [0, n) of b; returns whether it does not hold all of them. */
static int pack_copy(qmatmul_run *r, int8_t *to, const uint8_t *b, int64_t n, int64_t width, int copy)
{
    const fc_qmatmul *p = r->p;
    const int64_t k = r->words * WORD;
    if (p->b_n == 1)
        return fc_active_bytes->qpack->rows(to, (size_t)width, b, (size_t)p->b_k, (size_t)p->k, (size_t)n, (int32_t)p->b_zero, copy);
    int more = 0;
    memset(r->row, 0, (size_t)(k * width));
    for (int64_t j = 0; j < n; j++)
        more |= fc_active_bytes->qpack->digits(r->row + j * k, b + j * p->b_n, (size_t)p->k, (int32_t)p->b_zero, copy);
    fc_active->transpose->block((float *)(void *)to, (size_t)width, (const float *)(const void *)r->row, (size_t)r->words, (size_t)width, (size_t)r->words);
    return more;
}

/* All rows of a matrix times columns [0, n) of b. */
static void run_panel(qmatmul_run *r, uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n)
{
    const fc_qmatmul *p = r->p;
    const int64_t v = fc_active->vector_length, nv = fc_ceil_div(n, v), width = nv * v, tall = fc_active_bytes->qgemm->max_mr[nv];
    const int64_t same[COPIES] = {0}, y_bytes = p->to == FC_Q_BYTES ? 1 : 4;
    int32_t offset[FC_GEMM_MAX_NV * FC_MAX_VECTOR] = {0};
    float factor[FC_GEMM_MAX_NV * FC_MAX_VECTOR];
    int copies = 1;
    while (pack_copy(r, r->panel + (copies - 1) * r->words * WORD * width, b, n, width, copies - 1))
        copies++;
    for (int64_t j = 0; j < width; j++)
        factor[j] = p->factor;
    fc_qgemm_args args = {.c = offset, .ldc = (size_t)width, .a = r->ones, .lda = 0, .run = same, .runs = (size_t)copies, .words = (size_t)r->words,
                          .b = r->panel, .n = (size_t)n, .offset = offset, .factor = factor, .to = FC_Q_SUMS, .shape = &r->shape};
    if (p->a_zero)
        fc_active_bytes->qgemm->tile[nv][1](&args);
    for (int64_t j = 0; j < n; j++)
        offset[j] *= -(int32_t)p->a_zero;
    args.ldc = (size_t)p->y_m;
    args.lda = (size_t)p->a_m;
    args.lo = p->lo;
    args.hi = p->hi;
    args.zero = (int32_t)p->zero;
    args.byte_lo = fc_byte_lo(p->lo, p->zero);
    args.byte_hi = fc_byte_hi(p->hi, p->zero);
    args.to = (int)p->to;
    args.bounded = fc_is_bounded(&p->factor, 1);
    for (int64_t i = 0; i < p->m; i += tall) {
        args.a = a + i * p->a_m;
        args.c = y + i * p->y_m * y_bytes;
        fc_active_bytes->qgemm->tile[nv][fc_min(tall, p->m - i)](&args);
    }
}

fc_status fc_run_qmatmul(const void *params, void *const *t, const fc_team *team)
{
    const fc_qmatmul *p = params;
    qmatmul_run r = {.p = p, .words = fc_ceil_div(p->k, WORD), .width = p->nv * fc_active->vector_length, .panel = team->scratch};
    r.row = r.panel + COPIES * fc_align_up(panel_bytes(p));
    r.ones = (uint8_t *)r.row + fc_align_up(panel_bytes(p));
    memset(r.ones, 1, (size_t)(r.words * WORD));
    int64_t matrices = 1, begin, end;
    for (int64_t d = 0; d < p->ndim; d++)
        matrices *= p->shape[d];
    const int64_t panels = fc_ceil_div(p->n, r.width);
    fc_share(team, matrices * panels, &begin, &end);
    for (; begin < end; begin++) {
        int64_t at[3] = {0}, matrix = begin / panels;
        const int64_t column = begin % panels * r.width;
        for (int64_t d = p->ndim - 1; d >= 0; matrix /= p->shape[d], d--) {
            at[0] += matrix % p->shape[d] * p->y_strides[d];
            at[1] += matrix % p->shape[d] * p->a_strides[d];
            at[2] += matrix % p->shape[d] * p->b_strides[d];
        }
        run_panel(&r, (uint8_t *)t[0] + (at[0] + column) * (p->to == FC_Q_BYTES ? 1 : 4), (const uint8_t *)t[1] + at[1],
                  (const uint8_t *)t[2] + at[2] + column * p->b_n, fc_min(r.width, p->n - column));
    }
    if (fc_active_bytes->qgemm->release)
        fc_active_bytes->qgemm->release();
    return FC_OK;
}
