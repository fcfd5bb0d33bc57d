# Instances of fastcnn.ir.record's classes. Attributes are set one by one past __setattr__, never through __dict__: CPython then keeps them
# beside each other in the instance, and the interpreter reads them in a third of the time.

cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object instance, object name, object value) except -1

# What record_init() does with a field that is not given: refuse, take its value, call it.
RECORD_NEEDED, RECORD_VALUE, RECORD_FACTORY = range(3)

cdef enum:
    NEEDED, VALUE, FACTORY


def record_init(tuple names, tuple kinds, tuple values, Py_ssize_t places, Py_ssize_t asked, bint post, odd):
    """An __init__ that sets the attributes `names`.

    kinds, values  for each of them: what happens where it is not given, and the value or the function that makes it
    places         so many of them, the first, may be given by position; asked: so many may be given at all
    post           whether __post_init__ is called
    odd            (self, *args, **kwargs) -> raises the error for arguments that do not fit
    """
    cdef Py_ssize_t count = len(names)
    cdef list forms = list(kinds)

    def __init__(self, *args, **kwargs):
        cdef Py_ssize_t k, given = len(args), used = 0, named = len(kwargs)
        cdef int kind
        if given > places:
            return odd(self, *args, **kwargs)
        for k in range(count):
            name = names[k]
            kind = forms[k]
            if k < given:
                value = args[k]
            elif named and k < asked and name in kwargs:
                value = kwargs[name]
                used += 1
            elif kind == VALUE:
                value = values[k]
            elif kind == FACTORY:
                value = values[k]()
            else:
                return odd(self, *args, **kwargs)
            PyObject_GenericSetAttr(self, name, value)
        if used != named:
            return odd(self, *args, **kwargs)
        if post:
            self.__post_init__()

    return __init__


def record_changed(instance, tuple names, dict changes):
    """A new instance of the same class with these attributes, some of them changed; __init__ is not called."""
    kind = type(instance)
    made = kind.__new__(kind)
    for name in names:
        PyObject_GenericSetAttr(made, name, changes[name] if name in changes else getattr(instance, name))
    return made
