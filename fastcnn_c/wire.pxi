# Serialised messages by tables of their fields: https://protobuf.dev/programming-guides/encoding. Knows no message by name.

# How a field is read, the third item of its row in a table: (name, repeated, form, inside).
FORM_INT, FORM_FLOAT, FORM_TEXT, FORM_BYTES, FORM_SKIPPED, FORM_VIEW, FORM_VARINTS, FORM_SHARED, FORM_MESSAGE, FORM_CALL = range(10)

cdef uint64_t NO_TAG = <uint64_t>-1

cdef enum:
    INT, FLOAT, TEXT, BYTES, SKIPPED, VIEW, VARINTS, SHARED, MESSAGE, CALL
    TAG_BYTES = 5, VALUE_BYTES = 10                      # the longest that protobuf takes: tags and lengths have 32 bits, values 64
    FIELDS = 32                                          # numbers of fields are below
    SHAPED_DIMS = 16                                     # of tensor_of()
    SHARED_BYTES = 256                                   # longer messages of a FORM_SHARED are hardly ever the same


cdef object _over_bytes(bytes data):
    """np.frombuffer(data, np.uint8)."""
    cdef cnp.npy_intp count = len(data)
    array = cnp.PyArray_SimpleNewFromData(1, &count, cnp.NPY_UINT8, <char*>data)
    cnp.PyArray_CLEARFLAGS(array, cnp.NPY_ARRAY_WRITEABLE)
    cnp.set_array_base(array, data)
    return array


def tensor_of(cnp.ndarray raw, cnp.dtype dtype, dims):
    """raw.view(dtype).reshape(dims) of read-only bytes, for types of numbers; None where there are more or fewer of them than that takes, or too many dims, or none in one."""
    cdef cnp.npy_intp sizes[SHAPED_DIMS]
    cdef int64_t size, count = dtype.itemsize
    cdef int k, rank = len(dims)
    if rank > SHAPED_DIMS:
        return None
    for k in range(rank):
        size = dims[k]
        if size < 1 or size > raw.nbytes or count > raw.nbytes:       # so that products stay far below 64 bits
            return None
        sizes[k] = size
        count *= size
    if count != raw.nbytes:
        return None
    array = cnp.PyArray_SimpleNewFromData(rank, sizes, dtype.num, cnp.PyArray_DATA(raw))
    cnp.PyArray_CLEARFLAGS(array, cnp.NPY_ARRAY_WRITEABLE)
    base = cnp.get_array_base(raw)
    cnp.set_array_base(array, base if type(base) is bytes else raw)
    return array


cdef class _Kind:
    """A kind of messages: its class, and by the number of a field its tag, what is there and where it goes."""

    cdef object kind, cls
    cdef list names, inside
    cdef uint64_t tags[FIELDS]                           # NO_TAG: no such field
    cdef int forms[FIELDS]
    cdef bint many[FIELDS]

    def __init__(self, kind, cls, dict table):
        cdef int k
        self.kind, self.cls, self.names, self.inside = kind, cls, [None] * FIELDS, [None] * FIELDS
        for k in range(FIELDS):
            self.tags[k] = NO_TAG
        for tag, (name, many, form, inside) in table.items():
            k = tag >> 3
            assert 0 <= k < FIELDS
            self.names[k], self.tags[k], self.many[k], self.forms[k], self.inside[k] = name, tag, many, form, inside


cdef class WireReader:
    """read(kind, depth): the message that is serialised in data.

    tables   kind -> tag -> (name, repeated, form, inside): the kind of message there, or read(data, begin, end) of a FORM_CALL.
             Equal short messages of a FORM_SHARED are one object. A FORM_VIEW is read as FORM_CALL where it is empty or has `viewed`
             bytes or more, else it is a copy, as a read-only array over a bytes object. A FORM_VARINTS is an int64 array
    classes  kind -> the class of messages of that kind, objects with a __dict__
    odd      the exception for what is not in the tables, or cut off
    """

    cdef object data, odd
    cdef dict kinds, shared, texts
    cdef const unsigned char[::1] view
    cdef const unsigned char *at
    cdef Py_ssize_t size, viewed

    def __init__(self, data, dict tables, dict classes, odd, Py_ssize_t viewed):
        self.data, self.odd, self.viewed = data, odd, viewed
        self.view, self.size, self.shared, self.texts = data, len(data), {}, {}
        self.at = &self.view[0] if self.size else NULL
        self.kinds = {kind: _Kind(kind, classes[kind], table) for kind, table in tables.items()}
        for own in self.kinds.values():
            (<_Kind>own).inside = [self.kinds[inside] if type(inside) is str else inside for inside in (<_Kind>own).inside]

    def read(self, str kind, int depth):
        return self._message(0, self.size, self.kinds[kind], depth)

    cdef uint64_t _varint(self, Py_ssize_t *position, int limit) except? 1234567:
        cdef uint64_t value = 0
        cdef int k
        cdef unsigned char octet
        if position[0] < self.size and self.at[position[0]] < 128:          # most
            position[0] += 1
            return self.at[position[0] - 1]
        for k in range(limit):
            if position[0] >= self.size:
                break
            octet = self.at[position[0]]
            position[0] += 1
            value |= <uint64_t>(octet & 127) << 7 * k
            if octet < 128:
                return value
        raise self.odd("a varint that is cut off or has no end")

    cdef Py_ssize_t _length(self, Py_ssize_t *position, Py_ssize_t last) except -1:
        """Of a field, which ends before its message does."""
        cdef uint64_t size = self._varint(position, TAG_BYTES)
        if position[0] > last or size > <uint64_t>(last - position[0]):
            raise self.odd("a field that ends after its message")
        return <Py_ssize_t>size

    cdef object _float(self, Py_ssize_t position, Py_ssize_t last):
        cdef uint32_t bits
        cdef float value
        if position + 4 > last:
            raise self.odd("a number that is cut off")
        bits = (<uint32_t>self.at[position] | <uint32_t>self.at[position + 1] << 8 | <uint32_t>self.at[position + 2] << 16
                | <uint32_t>self.at[position + 3] << 24)
        memcpy(&value, &bits, 4)
        return value

    cdef object _message(self, Py_ssize_t position, Py_ssize_t last, _Kind kind, int depth):
        if not depth:
            raise self.odd("messages inside each other without end")
        cdef dict values
        cdef list items = None
        cdef int form
        cdef Py_ssize_t begin, size
        cdef uint64_t tag, k, before = FIELDS            # the field of items
        message = kind.cls()
        values = message.__dict__
        while position < last:
            tag = self._varint(&position, TAG_BYTES)
            k = tag >> 3
            if k >= FIELDS or kind.tags[k] != tag:
                position = self._packed(position, last, tag, kind, values)
                before = FIELDS
                continue
            form, value = kind.forms[k], None
            if form == INT:
                value = <int64_t>self._varint(&position, VALUE_BYTES)
            elif form == FLOAT:
                value = self._float(position, last)
                position += 4
            else:
                size = self._length(&position, last)
                begin = position
                position += size
                if form == TEXT:
                    value = (<const char*>self.at + begin)[:size].decode("utf-8") if size else ""
                    value = self.texts.setdefault(value, value)         # one object a name: dicts find it without comparing text
                elif form == BYTES:
                    value = (<const char*>self.at + begin)[:size] if size else b""
                elif form >= MESSAGE and not kind.many[k] and kind.names[k] in values:
                    raise self.odd(f"{kind.names[k]} twice in a {kind.kind}, or in pieces")
                elif form == MESSAGE:
                    value = self._message(begin, position, <_Kind>kind.inside[k], depth - 1)
                elif form == SHARED:
                    value = self._shared(begin, position, <_Kind>kind.inside[k], depth - 1)
                elif form == VIEW and 0 < size < self.viewed:
                    value = _over_bytes((<const char*>self.at + begin)[:size])
                elif form == VARINTS:
                    value = self._varints(begin, position)
                elif form == CALL or form == VIEW:
                    value = kind.inside[k](self.data, begin, position)
            if not kind.many[k]:
                values[kind.names[k]] = value
            else:
                if k != before:
                    items, before = values.setdefault(kind.names[k], []), k
                items.append(value)
        if position > last:
            raise self.odd("a field that ends after its message")
        return message

    cdef object _varints(self, Py_ssize_t begin, Py_ssize_t end):
        """Packed varints as an int64 array."""
        cdef Py_ssize_t k, count = 0
        for k in range(begin, end):
            count += self.at[k] < 128
        found = np.empty(count, np.int64)
        cdef int64_t[::1] numbers = found
        for k in range(count):
            numbers[k] = <int64_t>self._varint(&begin, VALUE_BYTES)
        if begin != end:
            raise self.odd("a varint that is cut off or has no end")
        return found

    cdef object _shared(self, Py_ssize_t begin, Py_ssize_t end, _Kind kind, int depth):
        """_message(), decoded once for the same few bytes."""
        if not 0 < end - begin <= SHARED_BYTES:
            return self._message(begin, end, kind, depth)
        key = kind.kind, (<const char*>self.at + begin)[:end - begin]
        value = self.shared.get(key)
        if value is None:
            value = self.shared[key] = self._message(begin, end, kind, depth)
        return value

    cdef Py_ssize_t _packed(self, Py_ssize_t position, Py_ssize_t last, uint64_t tag, _Kind kind, dict values) except -1:
        """Adds the numbers of a packed field and returns the position after it; no other field has two wire types."""
        cdef Py_ssize_t end
        cdef uint64_t k = tag >> 3
        if tag & 7 != 2 or k >= FIELDS or kind.tags[k] == NO_TAG or kind.forms[k] not in (INT, FLOAT) or not kind.many[k]:
            raise self.odd(f"tag {tag}")
        cdef int form = kind.forms[k]
        end = self._length(&position, last)
        end += position
        items = values.setdefault(kind.names[k], [])
        while position < end:
            if form == FLOAT:
                items.append(self._float(position, end))
                position += 4
            else:
                items.append(<int64_t>self._varint(&position, VALUE_BYTES))
        if position > end:
            raise self.odd("packed numbers that are cut off")
        return position
