/* y[t][b] = x[length[b] - 1 - t][b] while t < length[b], then x[t][b]: the first steps of each sequence in reverse order. */
#include <string.h>

#include "team.h"

#define INLINE static inline __attribute__((always_inline))

/* Elements [t, end) of one sequence whose steps are single elements that follow each other. */
INLINE void reverse_run(char *y, const char *x, int64_t length, int64_t t, int64_t end, const size_t bytes)
{
    const int64_t turned = fc_max(t, fc_min(end, length));
    for (int64_t k = t; k < turned; k++)
        memcpy(y + (size_t)k * bytes, x + (size_t)(length - 1 - k) * bytes, bytes);
    memcpy(y + (size_t)turned * bytes, x + (size_t)turned * bytes, (size_t)(end - turned) * bytes);
}

/* Sequences [b, end) at step t; each step is `bytes`, sequences lie next to each other. */
INLINE void reverse_step(const fc_reverse_sequence *p, char *y, const char *x, const int64_t *lengths, int64_t t, int64_t b, int64_t end,
                         const size_t bytes)
{
    const int64_t row = p->batch * (int64_t)bytes;
    for (; b < end; b++) {
        const int64_t from = t < lengths[b] ? lengths[b] - 1 - t : t;
        memcpy(y + t * row + b * (int64_t)bytes, x + from * row + b * (int64_t)bytes, bytes);
    }
}

/* Steps [t, end) of one sequence, `bytes` each. */
static void reverse_steps(char *y, const char *x, int64_t length, int64_t t, int64_t end, size_t bytes)
{
    for (int64_t k = t; k < end; k++)
        memcpy(y + (size_t)k * bytes, x + (size_t)(k < length ? length - 1 - k : k) * bytes, bytes);
}

static void batch_first(const fc_reverse_sequence *p, char *y, const char *x, int64_t length, int64_t t, int64_t end)
{
    switch (p->inner_bytes) {
    case 1: reverse_run(y, x, length, t, end, 1); break;
    case 2: reverse_run(y, x, length, t, end, 2); break;
    case 4: reverse_run(y, x, length, t, end, 4); break;
    case 8: reverse_run(y, x, length, t, end, 8); break;
    default: reverse_steps(y, x, length, t, end, (size_t)p->inner_bytes);
    }
}

static void time_first(const fc_reverse_sequence *p, char *y, const char *x, const int64_t *lengths, int64_t t, int64_t b, int64_t end)
{
    switch (p->inner_bytes) {
    case 1: reverse_step(p, y, x, lengths, t, b, end, 1); break;
    case 2: reverse_step(p, y, x, lengths, t, b, end, 2); break;
    case 4: reverse_step(p, y, x, lengths, t, b, end, 4); break;
    case 8: reverse_step(p, y, x, lengths, t, b, end, 8); break;
    default: reverse_step(p, y, x, lengths, t, b, end, (size_t)p->inner_bytes);
    }
}

fc_status fc_run_reverse_sequence(const void *params, void *const *t, const fc_team *team)
{
    const fc_reverse_sequence *p = params;
    const int64_t *lengths = t[2], rows = p->time_first ? p->batch : p->time;
    int64_t begin, end;
    for (int64_t b = 0; b < p->batch; b++)
        if (lengths[b] < 0 || lengths[b] > p->time)
            return FC_ERR_INDEX;
    fc_share(team, p->batch * p->time, &begin, &end);
    while (begin < end) {
        const int64_t outer = begin / rows, first = begin % rows, last = fc_min(rows, first + end - begin);
        if (p->time_first) {
            time_first(p, t[0], t[1], lengths, outer, first, last);
        } else {
            const int64_t sequence = outer * p->time * p->inner_bytes;
            batch_first(p, (char *)t[0] + sequence, (const char *)t[1] + sequence, lengths[outer], first, last);
        }
        begin += last - first;
    }
    return FC_OK;
}
