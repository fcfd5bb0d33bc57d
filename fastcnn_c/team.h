/* What a step sees of the threads that walk the program together. */
#ifndef FC_TEAM_H
#define FC_TEAM_H

#include "fastcnn.h"

typedef struct fc_barrier fc_barrier;

/* What is left to ask for of the weights of later steps. */
typedef struct fc_prefetch {
    fc_range range[FC_MAX_PREFETCH];
    int first;              /* range that is not through */
} fc_prefetch;

typedef struct fc_team {
    fc_prefetch *prefetch;        /* this share's, or NULL: nothing to ask for */
    int id, count;          /* this share of the step, all shares */
    fc_barrier *barrier;    /* NULL: one thread may do several shares, one after the other, and none can wait for another */
    void *scratch;          /* this thread's own scratch_bytes, FC_ALIGN aligned, undefined on entry */
    void *shared;           /* thread 0's scratch: what the team writes together (with fc_team_wait between) */
    int apart;              /* of the weights of conv: they are one panel, which no other follows in memory */
} fc_team;

/* All threads of the team have arrived. Only for the steps that fc_step_together names: they get a thread a share. */
void fc_team_wait(const fc_team *team);

/* For fc_step_together: whether fc_run_winograd shares each block among `threads` threads. */
int fc_winograd_together(const void *params, int threads);

/* Whether there is memory to ask for. */
static inline int fc_prefetches(const fc_prefetch *a)
{
    return a && a->first < FC_MAX_PREFETCH && a->range[a->first].at;
}

/* The next `bytes` to ask for, which may go beyond the end, or NULL when all have been. */
static inline const char *fc_prefetch_next(fc_prefetch *a, int64_t bytes)
{
    while (fc_prefetches(a) && a->range[a->first].at >= a->range[a->first].end)
        a->first++;
    if (!fc_prefetches(a))
        return NULL;
    const char *at = a->range[a->first].at;
    a->range[a->first].at += bytes;
    return at;
}

static inline int64_t fc_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t fc_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t fc_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* This thread's part [*begin, *end) of `total` pieces of work: equal shares, the same rows for the same total every time. */
static inline void fc_share(const fc_team *team, int64_t total, int64_t *begin, int64_t *end)
{
    *begin = total * team->id / team->count;
    *end = total * (team->id + 1) / team->count;
}

/* `count` outputs in tiles as equal as they come, of which the first `larger` have one more than `low`. */
typedef struct fc_equal_tiles {
    int64_t tiles, low, larger;
} fc_equal_tiles;

static inline fc_equal_tiles fc_equal_tiles_of(int64_t count, int64_t tiles)
{
    return (fc_equal_tiles){tiles, count / tiles, count % tiles};
}

/* Where a tile begins; how many outputs it has; how many tiles from it on have as many. */
static inline int64_t fc_tile_begin(fc_equal_tiles t, int64_t tile) { return t.low * tile + fc_min(tile, t.larger); }
static inline int64_t fc_tile_outputs(fc_equal_tiles t, int64_t tile) { return t.low + (tile < t.larger); }
static inline int64_t fc_tiles_alike(fc_equal_tiles t, int64_t tile) { return (tile < t.larger ? t.larger : t.tiles) - tile; }

/* Scratch rounding: whole FC_ALIGN units. */
static inline size_t fc_align_up(size_t bytes) { return (bytes + FC_ALIGN - 1) / FC_ALIGN * FC_ALIGN; }

#define FC_DECLARE_RUN(kind, scratch) \
    fc_status fc_run_##kind(const void *params, void *const *t, const fc_team *team); \
    size_t scratch(const void *params, int threads);
FC_STEP_LIST(FC_DECLARE_RUN)

#endif
