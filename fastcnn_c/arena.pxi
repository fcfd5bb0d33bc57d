# Places of buffers in the arena: fastcnn.plan.arena says by which rule.

cdef struct Placed:
    int64_t offset, end, first, last


def place_buffers(list sizes, list firsts, list lasts, int64_t most):
    """([offset of each buffer], bytes of the arena): each buffer at the lowest offset that is free in its steps [first, last], in this order.

    most  pairs of buffers that are compared; what is left then is laid out one after the other
    """
    cdef Py_ssize_t count = len(sizes), there = 0, i, k, at
    cdef int64_t size, offset, total = 0, compared = 0
    cdef Placed own
    cdef Placed *placed = <Placed *>calloc(max(count, 1), sizeof(Placed))         # by offset
    cdef list offsets = []
    if placed == NULL:
        raise MemoryError
    try:
        for i in range(count):
            size, own.first, own.last = sizes[i], firsts[i], lasts[i]
            if compared > most:
                offsets.append(total)
                total += size
                continue
            offset = 0
            for k in range(there):
                compared += 1
                if placed[k].first > own.last or own.first > placed[k].last:
                    continue
                if offset + size <= placed[k].offset:
                    break
                offset = max(offset, placed[k].end)
            own.offset, own.end = offset, offset + size
            at = there
            while at > 0 and placed[at - 1].offset > offset:
                placed[at] = placed[at - 1]
                at -= 1
            placed[at] = own
            there += 1
            offsets.append(offset)
            total = max(total, own.end)
    finally:
        free(placed)
    return offsets, total
