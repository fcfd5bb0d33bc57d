/* Non-maximum suppression: of every image and class the boxes in the order of their scores, but those that overlap one taken
 * before by more than a threshold. Threads share the classes; thread 0 then moves the results together.
 */
#include <math.h>
#include <string.h>

#include "team.h"

typedef struct scored {
    float score;
    int32_t box;
} scored;

typedef struct corners {
    float y1, x1, y2, x2;
} corners;

static corners corners_of(const float *box, int center)
{
    if (center)
        return (corners){box[1] - box[3] / 2, box[0] - box[2] / 2, box[1] + box[3] / 2, box[0] + box[2] / 2};
    const int flip_y = box[0] > box[2], flip_x = box[1] > box[3];
    return (corners){box[flip_y ? 2 : 0], box[flip_x ? 3 : 1], box[flip_y ? 0 : 2], box[flip_x ? 1 : 3]};
}

static int overlap(corners a, corners b, float threshold)
{
    const float y1 = a.y1 > b.y1 ? a.y1 : b.y1, y2 = a.y2 < b.y2 ? a.y2 : b.y2;
    const float x1 = a.x1 > b.x1 ? a.x1 : b.x1, x2 = a.x2 < b.x2 ? a.x2 : b.x2;
    if (y2 <= y1 || x2 <= x1)
        return 0;
    const float area_a = (a.y2 - a.y1) * (a.x2 - a.x1), area_b = (b.y2 - b.y1) * (b.x2 - b.x1), both = (y2 - y1) * (x2 - x1);
    return area_a > 0 && area_b > 0 && both / (area_a + area_b - both) > threshold;
}

static int before(scored a, scored b) { return a.score > b.score || (a.score == b.score && a.box < b.box); }

static void sift_down(scored *heap, int64_t n, int64_t i)
{
    const scored moved = heap[i];
    for (int64_t child = 2 * i + 1; child < n; i = child, child = 2 * i + 1) {
        child += child + 1 < n && before(heap[child + 1], heap[child]);
        if (!before(heap[child], moved))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

/* Takes up to `limit` boxes of one class; their rows (image, class, box) at y. Returns how many. */
static int64_t suppress(const fc_nms *p, int64_t *y, const float *boxes, const float *scores, int64_t image, int64_t class_, int64_t limit,
                        float iou, float lowest, scored *heap)
{
    int64_t n = 0, taken = 0;
    for (int64_t k = 0; k < p->boxes; k++)
        if (scores[k] > lowest)
            heap[n++] = (scored){scores[k], (int32_t)k};
    for (int64_t k = n / 2 - 1; k >= 0; k--)
        sift_down(heap, n, k);
    while (n > 0 && taken < limit) {
        const scored best = heap[0];
        const corners box = corners_of(boxes + 4 * best.box, p->center != 0);
        heap[0] = heap[--n];
        sift_down(heap, n > 0 ? n : 1, 0);
        int64_t k = 0;
        while (k < taken && !overlap(corners_of(boxes + 4 * y[3 * k + 2], p->center != 0), box, iou))
            k++;
        if (k == taken) {
            y[3 * taken] = image;
            y[3 * taken + 1] = class_;
            y[3 * taken + 2] = best.box;
            taken++;
        }
    }
    return taken;
}

fc_status fc_run_nms(const void *params, void *const *t, const fc_team *team)
{
    const fc_nms *p = params;
    int64_t *const y = t[0], *const counts = t[2];
    const float *boxes = t[3], *scores = t[4], *iou = t[6], *lowest = t[7];
    const int64_t wanted = t[5] ? *(const int64_t *)t[5] : 0, limit = fc_max(0, fc_min(wanted, p->limit)), units = p->images * p->classes;
    int64_t begin, end;
    fc_share(team, units, &begin, &end);
    for (int64_t u = begin; u < end; u++)
        counts[u] = suppress(p, y + 3 * p->limit * u, boxes + u / p->classes * p->boxes * 4, scores + u * p->boxes, u / p->classes,
                             u % p->classes, limit, iou ? *iou : 0.0f, lowest ? *lowest : -INFINITY, team->scratch);
    fc_team_wait(team);
    if (team->id == 0) {
        int64_t total = 0;
        for (int64_t u = 0; u < units; total += counts[u++])
            memmove(y + 3 * total, y + 3 * p->limit * u, (size_t)(3 * counts[u]) * sizeof *y);
        *(int64_t *)t[1] = total;
    }
    return FC_OK;
}

size_t fc_scratch_nms(const void *params, int threads)
{
    (void)threads;
    return fc_align_up((size_t)((const fc_nms *)params)->boxes * sizeof(scored));
}
