"""Part of _native.pyx: when a run has to end, the memory it works in, and how long runs took."""
from libc.time cimport time_t

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int, timespec *)
    int __builtin_clzll(unsigned long long)

cdef extern from *:
    """
    #include <sys/mman.h>
    /* Asks for huge pages, where the system has them. */
    static void fc_huge_pages(void *memory, size_t nbytes)
    {
    #ifdef MADV_HUGEPAGE
        madvise(memory, nbytes, MADV_HUGEPAGE);
    #else
        (void)memory, (void)nbytes;
    #endif
    }
    """
    void fc_huge_pages(void *, size_t) nogil

cdef enum:
    PAGE = 4096
    HUGE_PAGE = 2097152

# Latencies are counted in LATENCY_STEPS buckets an octave of nanoseconds: bucket k ends at (4 + k % 4 + 1) * 2^(k / 4 - 2) ns.
cdef enum:
    STEPS = 4
    BUCKETS = 160
LATENCY_STEPS, LATENCY_BUCKETS = STEPS, BUCKETS


cdef inline int64_t _now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef class Deadline:
    """When a run has to end: so many seconds from now, or as soon as another thread calls cancel().

    Runs look at it before each of their steps. One Deadline may be shared by several runs.
    """
    cdef volatile double at                 # seconds of CLOCK_MONOTONIC; 0: never

    def __init__(self, seconds=None):
        self.at = 0.0
        if seconds is not None:
            if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not seconds >= 0:
                raise ValueError(f"{seconds!r} is no number of seconds")
            self.at = 1e-9 * _now_ns() + seconds

    def cancel(self):
        """No step begins any more."""
        self.at = 1e-9                      # long ago

    def passed(self):
        """Whether it is over."""
        return self.at > 0 and 1e-9 * _now_ns() > self.at

    def remaining(self):
        """Seconds, 0 at the least; None when there is no end."""
        return max(0.0, self.at - 1e-9 * _now_ns()) if self.at > 0 else None


cdef class Workspace:
    """Arena and scratch of one run at a time: one aligned block, grown on demand, freed with the object. Counts the runs that used it.

    Blocks of a quarter of a huge page and more are whole huge pages: the processor looks up one address for 2 MB, not for 4 KB.
    """
    cdef char *memory
    cdef readonly size_t nbytes
    cdef int64_t began
    cdef int64_t spent_ns
    cdef int64_t failed
    cdef int64_t counts[BUCKETS]

    def __cinit__(self):
        self.memory = NULL
        self.nbytes = 0

    def __dealloc__(self):
        free(self.memory)

    cdef int reserve(self, size_t nbytes) except -1:
        cdef void *block = NULL
        if nbytes <= self.nbytes:
            return 0
        free(self.memory)
        self.memory, self.nbytes = NULL, 0
        # A checked build looks at where the block ends; where addresses are few, small pages do.
        cdef size_t whole = (nbytes + HUGE_PAGE - 1) // HUGE_PAGE * HUGE_PAGE
        if 4 * nbytes >= HUGE_PAGE and not CHECKED and posix_memalign(&block, HUGE_PAGE, whole) == 0:
            fc_huge_pages(block, whole)
            nbytes = whole
        elif posix_memalign(&block, PAGE, nbytes) != 0:
            raise MemoryError(f"no memory for an arena of {nbytes} bytes")
        self.memory, self.nbytes = <char *>block, nbytes
        return 0

    cdef void ended(self, bint succeeded) noexcept:
        cdef int64_t ns = max(_now_ns() - self.began, 1)
        cdef int octave = 63 - __builtin_clzll(<unsigned long long>ns)
        if not succeeded:
            self.failed += 1
            return
        self.spent_ns += ns
        # The two bits after the highest one are the bucket within the octave.
        self.counts[min(octave * STEPS + ((ns << 2) >> octave) - 4, BUCKETS - 1)] += 1

    def counted(self):
        """(runs by bucket of latency, nanoseconds of all of them, runs that failed)."""
        return [self.counts[k] for k in range(BUCKETS)], self.spent_ns, self.failed


cdef class WorkspacePool:
    """Workspaces that no run has just now. A subclass says in more() what happens when there is none, in wake() that one came back."""
    cdef readonly list free
    cdef public Py_ssize_t waiting

    def __cinit__(self, *args):
        self.free = []
        self.waiting = 0

    def take(self, Deadline until=None):
        """A workspace for one run, which begins now."""
        cdef int64_t now = _now_ns()
        cdef Workspace workspace = None
        if not self.waiting:
            try:
                workspace = self.free.pop()
            except IndexError:
                pass
        if workspace is None:
            workspace = self.more(until)
        workspace.began = now
        return workspace

    def give(self, Workspace workspace not None, bint succeeded):
        """The run has ended."""
        workspace.ended(succeeded)
        self._back(workspace)

    cdef int _back(self, Workspace workspace) except -1:
        self.free.append(workspace)
        if self.waiting:
            self.wake()
        return 0
