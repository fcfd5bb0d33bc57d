# Serialised messages by tables of their fields: https://protobuf.dev/programming-guides/encoding. Knows no message by name.

# How a field is read, the third item of its row in a table: (name, repeated, form, inside).
FORM_INT, FORM_FLOAT, FORM_TEXT, FORM_BYTES, FORM_SKIPPED, FORM_VIEW, FORM_SHARED, FORM_MESSAGE, FORM_CALL = range(9)

cdef enum:
    INT, FLOAT, TEXT, BYTES, SKIPPED, VIEW, SHARED, MESSAGE, CALL
    TAG_BYTES = 5, VALUE_BYTES = 10                      # the longest that protobuf takes: tags and lengths have 32 bits, values 64
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


cdef class WireReader:
    """read(kind, depth): the message that is serialised in data.

    tables   kind -> tag -> (name, repeated, form, inside): the kind of message there, or read(data, begin, end) of a FORM_CALL.
             Equal short messages of a FORM_SHARED are one object. A FORM_VIEW is read as FORM_CALL where it is empty or has `viewed`
             bytes or more, else it is a copy, as a read-only array over a bytes object
    classes  kind -> the class of messages of that kind, objects with a __dict__
    odd      the exception for what is not in the tables, or cut off
    """

    cdef object data, odd
    cdef dict tables, classes, shared, texts
    cdef const unsigned char[::1] view
    cdef Py_ssize_t size, viewed

    def __init__(self, data, dict tables, dict classes, odd, Py_ssize_t viewed):
        self.data, self.tables, self.classes, self.odd, self.viewed = data, tables, classes, odd, viewed
        self.view, self.size, self.shared, self.texts = data, len(data), {}, {}

    def read(self, str kind, int depth):
        return self._message(0, self.size, kind, depth)

    cdef uint64_t _varint(self, Py_ssize_t *position, int limit) except? 1234567:
        cdef uint64_t value = 0
        cdef int k
        cdef unsigned char octet
        for k in range(limit):
            if position[0] >= self.size:
                break
            octet = self.view[position[0]]
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
        bits = (<uint32_t>self.view[position] | <uint32_t>self.view[position + 1] << 8 | <uint32_t>self.view[position + 2] << 16
                | <uint32_t>self.view[position + 3] << 24)
        memcpy(&value, &bits, 4)
        return value

    cdef object _message(self, Py_ssize_t position, Py_ssize_t last, str kind, int depth):
        if not depth:
            raise self.odd("messages inside each other without end")
        cdef dict tags = self.tables[kind], values
        cdef tuple row
        cdef int form
        cdef Py_ssize_t begin, size
        cdef uint64_t tag
        message = self.classes[kind]()
        values = message.__dict__
        while position < last:
            tag = self._varint(&position, TAG_BYTES)
            row = tags.get(tag)
            if row is None:
                position = self._packed(position, last, tag, tags, values)
                continue
            form, value = row[2], None
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
                    value = (<const char*>&self.view[begin])[:size].decode("utf-8") if size else ""
                    value = self.texts.setdefault(value, value)         # one object a name: dicts find it without comparing text
                elif form == BYTES:
                    value = (<const char*>&self.view[begin])[:size] if size else b""
                elif form >= MESSAGE and row[0] in values and not row[1]:
                    raise self.odd(f"{row[0]} twice in a {kind}, or in pieces")
                elif form == MESSAGE:
                    value = self._message(begin, position, row[3], depth - 1)
                elif form == SHARED:
                    value = self._shared(begin, position, row[3], depth - 1)
                elif form == VIEW and 0 < size < self.viewed:
                    value = _over_bytes((<const char*>&self.view[begin])[:size])
                elif form == CALL or form == VIEW:
                    value = row[3](self.data, begin, position)
            if not row[1]:
                values[row[0]] = value
            else:
                items = values.get(row[0])
                if items is None:
                    values[row[0]] = [value]
                else:
                    (<list>items).append(value)
        if position > last:
            raise self.odd("a field that ends after its message")
        return message

    cdef object _shared(self, Py_ssize_t begin, Py_ssize_t end, str kind, int depth):
        """_message(), decoded once for the same few bytes."""
        if not 0 < end - begin <= SHARED_BYTES:
            return self._message(begin, end, kind, depth)
        key = kind, (<const char*>&self.view[begin])[:end - begin]
        value = self.shared.get(key)
        if value is None:
            value = self.shared[key] = self._message(begin, end, kind, depth)
        return value

    cdef Py_ssize_t _packed(self, Py_ssize_t position, Py_ssize_t last, tag, dict tags, dict values) except -1:
        """Adds the numbers of a packed field and returns the position after it; no other field has two wire types."""
        cdef tuple row = None
        cdef Py_ssize_t end
        if tag & 7 == 2:
            row = tags.get(tag & ~7) or tags.get(tag & ~7 | 5)
        if row is None or not row[1] or row[2] not in (INT, FLOAT):
            raise self.odd(f"tag {tag}")
        end = self._length(&position, last)
        end += position
        items = values.setdefault(row[0], [])
        while position < end:
            if row[2] == FLOAT:
                items.append(self._float(position, end))
                position += 4
            else:
                items.append(<int64_t>self._varint(&position, VALUE_BYTES))
        if position > end:
            raise self.odd("packed numbers that are cut off")
        return position
