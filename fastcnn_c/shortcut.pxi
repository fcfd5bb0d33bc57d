"""Part of _native.pyx: the usual call, from the caller's dict to fresh outputs, without a line of Python."""

cdef enum:
    MOST_DIMS = 32                          # of an array that a shortcut takes or makes
    MOST_ARRAYS = 30                        # of a call


cdef object _aligned(int kind, cnp.npy_intp nbytes, int rank, cnp.npy_intp *extents):
    """An uninitialised array on an FC_ALIGN boundary; kind: numpy's number of its type."""
    nbytes += FC_ALIGN
    raw = cnp.PyArray_EMPTY(1, &nbytes, cnp.NPY_UINT8, 0)
    cdef uintptr_t address = <uintptr_t>cnp.PyArray_DATA(<cnp.ndarray>raw)
    cdef char *begin = <char *>((address + FC_ALIGN - 1) // FC_ALIGN * FC_ALIGN)
    made = cnp.PyArray_SimpleNewFromData(rank, extents, kind, begin)
    cnp.set_array_base(<cnp.ndarray>made, raw)
    return made


cdef class Shortcut:
    """run(pool, wanted, feeds, out, until): a program's outputs for feeds of the very types and shapes that it is planned for.

    inputs, outputs  (name, dtype, shape, whether it begins at a vector's boundary), in the order of the program's bases

    Returns None where something is out of the ordinary: other names
    or types, an array that is not contiguous, no workspace, fewer CPUs than planned for, a step that fails. The run then counts for nothing.
    """
    cdef Program program
    cdef int threads
    cdef tuple inputs, outputs              # names
    cdef int kinds[MOST_ARRAYS]             # numpy's numbers of the types of all arrays
    cdef int ranks[MOST_ARRAYS]
    cdef cnp.npy_intp extents[MOST_ARRAYS][MOST_DIMS]
    cdef cnp.npy_intp nbytes[MOST_ARRAYS]
    cdef bint aligned[MOST_ARRAYS]

    def __init__(self, Program program not None, int threads, inputs, outputs):
        """Raises ValueError for arrays that it cannot make or tell apart."""
        cdef int k, d
        if len(inputs) + len(outputs) > MOST_ARRAYS:
            raise ValueError("too many arrays")
        self.program, self.threads = program, threads
        self.inputs, self.outputs = tuple([name for name, *_ in inputs]), tuple([name for name, *_ in outputs])
        for k, (_, dtype, shape, aligned) in enumerate([*inputs, *outputs]):
            dtype = np.dtype(dtype)
            if not dtype.isnative or dtype.kind not in "biufc" or not dtype.isbuiltin == 1 or len(shape) > MOST_DIMS:
                raise ValueError(f"{dtype} of {shape}")
            self.kinds[k], self.ranks[k], self.nbytes[k] = dtype.num, len(shape), dtype.itemsize * _prod(shape)
            for d, extent in enumerate(shape):
                self.extents[k][d] = extent
            self.aligned[k] = aligned

    cdef bint _fits(self, int k, object value):
        cdef int d
        if not cnp.PyArray_CheckExact(value):
            return False
        cdef cnp.ndarray array = <cnp.ndarray>value
        if cnp.PyArray_TYPE(array) != self.kinds[k] or cnp.PyArray_NDIM(array) != self.ranks[k] or not cnp.PyArray_ISCARRAY_RO(array):
            return False
        for d in range(self.ranks[k]):
            if cnp.PyArray_DIMS(array)[d] != self.extents[k][d]:
                return False
        return True

    cdef bint _wanted(self, object names):
        """Whether all outputs are asked for, in their order."""
        if names is None:
            return True
        if not isinstance(names, (list, tuple)):
            return False
        return not names or (len(names) == len(self.outputs) and tuple(names) == self.outputs)

    cdef object _fresh(self, int k):
        if self.aligned[k]:
            return _aligned(self.kinds[k], self.nbytes[k], self.ranks[k], self.extents[k])
        return cnp.PyArray_EMPTY(self.ranks[k], self.extents[k], self.kinds[k], 0)

    cdef object _target(self, int k, object out, int given, void **table):
        """The k-th array's memory: a fresh array, or that of `out` where it fits and lies apart from the arrays before; else None."""
        cdef int other
        cdef char *begin
        cdef char *there
        array = None if out is None else out[k - given]
        if array is None:
            return self._fresh(k)
        if not self._fits(k, array) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>array):
            return None
        begin = <char *>cnp.PyArray_DATA(<cnp.ndarray>array)
        for other in range(k):
            there = <char *>table[FC_BASE_FIRST_IO + other]
            if begin < there + self.nbytes[other] and there < begin + self.nbytes[k]:
                return None
        return array

    def run(self, WorkspacePool pool not None, wanted, feeds, out=None, Deadline until=None):
        """out: a list or tuple of arrays for the outputs, None for a fresh one; until: when no step begins any more."""
        cdef void *table[MOST_ARRAYS + 2]
        cdef int k = 0, status, count = <int>len(self.inputs)
        cdef Workspace workspace
        cdef int64_t now = _now_ns()
        if type(feeds) is not dict or len(<dict>feeds) != count or not self._wanted(wanted):
            return None
        if out is not None and ((type(out) is not list and type(out) is not tuple) or len(out) != len(self.outputs)):
            return None
        arrays, results = [], []            # kept: the caller's dict may change meanwhile
        for name in self.inputs:
            value = (<dict>feeds).get(name)
            if value is None or not self._fits(k, value):
                return None
            arrays.append(value)
            table[FC_BASE_FIRST_IO + k] = cnp.PyArray_DATA(<cnp.ndarray>value)
            k += 1
        if pool.waiting or (self.threads > 1 and next_share(self.threads) < self.threads):
            return None
        for _ in self.outputs:
            made = self._target(k, out, count, table)
            if made is None:
                return None
            results.append(made)
            table[FC_BASE_FIRST_IO + k] = cnp.PyArray_DATA(<cnp.ndarray>made)
            k += 1
        try:
            workspace = pool.free.pop()
        except IndexError:
            return None
        workspace.began = now
        try:
            status = self.program._walk(workspace, table, NULL, NULL, &until.at if until is not None else NULL)
        except MemoryError:
            status = FC_ERR_MEMORY
        if status == FC_OK:
            workspace.ended(True)
        pool._back(workspace)
        return results if status == FC_OK else None
