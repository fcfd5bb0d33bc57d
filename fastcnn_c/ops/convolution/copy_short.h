/* Copies of a few bytes each, one after the other. */
#ifndef FC_COPY_SHORT_H
#define FC_COPY_SHORT_H

#include <stdint.h>
#include <string.h>

#include "team.h"

static inline __attribute__((always_inline)) void copy_chunks(uint8_t *to, const uint8_t *from, int64_t count, int64_t step, int64_t n, int64_t chunk)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < n; j += chunk)
            memcpy(to + i * n + j, from + i * step + j, (size_t)chunk);
}

/* Fewer than 16 bytes each time: 16 are copied, of which the next time overwrites those that are too many, as long as there are so many. */
static inline void copy_overlapping(uint8_t *to, const uint8_t *from, int64_t count, int64_t step, int64_t n)
{
    const int64_t whole = fc_max(count - fc_ceil_div(16, n), 0);
    for (int64_t i = 0; i < whole; i++)
        memcpy(to + i * n, from + i * step, 16);
    for (int64_t i = whole; i < count; i++)
        memcpy(to + i * n, from + i * step, (size_t)n);
}

/* `count` times n bytes, `step` apart in memory, one after the other: without a call for each where n is what groups have, or depths of a volume. */
static inline void copy_short(uint8_t *to, const uint8_t *from, int64_t count, int64_t step, int64_t n)
{
    if (n == 4)
        copy_chunks(to, from, count, step, 4, 4);
    else if (n == 8)
        copy_chunks(to, from, count, step, 8, 8);
    else if (n == 16)
        copy_chunks(to, from, count, step, 16, 16);
    else if (n % 16 == 0 && n <= 256)
        copy_chunks(to, from, count, step, n, 16);
    else if (n % 8 == 0 && n <= 64)
        copy_chunks(to, from, count, step, n, 8);
    else if (n < 16)
        copy_overlapping(to, from, count, step, n);
    else
        for (int64_t i = 0; i < count; i++)
            memcpy(to + i * n, from + i * step, (size_t)n);
}

#endif
