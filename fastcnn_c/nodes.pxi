# Nodes of a model like one that has been checked: the reader's loop over thousands of decoded messages.

def form_of(proto):
    """What a node's check depends on, and all that it has but for names: equal attributes of decoded messages are one object.

    Kinds of messages differ in their fields; proto is a node's (fastcnn.onnx_proto.messages).
    """
    cdef dict own = proto.__dict__
    cdef object given = own.get("input", ()), attributes = own.get("attribute", ())
    cdef tuple head = (own.get("op_type", ""), own.get("domain", ""), len(given) if "" not in given else tuple([bool(v) for v in given]),
                       len(own.get("output", ())))
    return head + tuple(attributes) if attributes else head


def node_like(like, tuple names, proto, str name):
    """A node with the inputs and outputs of a decoded message, this name, and the rest of one of the same form, attributes shared.

    names  of a node's attributes
    """
    cdef dict own = proto.__dict__
    cdef tuple inputs = tuple(own.get("input", ()))
    kind = type(like)
    made = kind.__new__(kind)
    for field in names:
        if field == "inputs":
            value = inputs
        elif field == "outputs":
            value = tuple(own.get("output", ()))
        elif field == "name":
            value = name
        else:
            value = getattr(like, field)
        PyObject_GenericSetAttr(made, field, value)
    if "" not in inputs and not like.captures:
        PyObject_GenericSetAttr(made, "reads", inputs)          # as Node.reads computes it, when it is first asked for
    return made
