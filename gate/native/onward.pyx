"""What an upstream is sent for a request, and what it is told of the client.

Each form of a head is a template that was cut from what the Python serialiser writes
(gate/proxy/native_templates.py): one for each set of claims that a request may make already of who
is in front of it, without and with a length.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from gate.native.grammar cimport same_word
from gate.native.request_head cimport (
    CLAIMED_PROTO, Forwarding, RequestHead, Span, read_request,
)
from gate.native.template cimport (
    CLAIMED, CLIENT, FIELDS, HOST, LENGTH_VALUE, METHOD_AND_TARGET, MOST_DIGITS, NODE, PORT, Template,
    put, put_number,
)


cdef class Onward:
    """See the module. `bounds` are those of the Python parser, `forwarding` and `via` its rules'.

    `fields` makes what a client adds of its address, None where that is the address alone; `node`
    makes the address as Forwarded has it.
    """

    def __init__(self, bounds, int forwarding, bint via, list templates, fields, node):
        self.limits.head, self.limits.line, self.limits.fields = bounds
        self.limits.forwarding = <Forwarding>forwarding
        self.limits.via = via
        self._templates = templates
        self._fields = fields
        self._node = node

    cdef bytes fields_of(self, str address):
        """What an upstream is told of a client, by its address."""
        return address.encode("ascii") if self._fields is None else self._fields(address)

    cdef uint8_t* serialise(
        self, const uint8_t* buf, const RequestHead* head, Py_ssize_t body, str address,
        bytes fields, Py_ssize_t* size
    ) except NULL:
        """Return the request as the upstream is to get it, with what came of its body; to be freed.

        `body` is how many bytes of that there are, `fields` are what `fields_of` gives for the address.
        """
        cdef Template template = self._templates[2 * head.claims + (head.length >= 0)]
        cdef bytes node = b""
        cdef uint8_t* out
        cdef uint8_t* at
        cdef const Span* claimed
        cdef int i, j
        if template.has_node:
            node = self._node(address)
        # No part of the head comes more than twice (Host), and no number is longer than MOST_DIGITS.
        out = at = <uint8_t*>PyMem_Malloc(
            template.fixed + head.size + template.count * (head.host.size + MOST_DIGITS)
            + PyBytes_GET_SIZE(fields) + PyBytes_GET_SIZE(node) + body
        )
        if at == NULL:
            raise MemoryError
        for i in range(template.count):
            at = put(at, template.literals[i], template.sizes[i])
            if template.slots[i] == METHOD_AND_TARGET:
                at = put(at, buf, head.target.at + head.target.size)
            elif template.slots[i] == HOST:
                at = put(at, buf + head.host.at, head.host.size)
            elif template.slots[i] == FIELDS:
                for j in range(head.spans):
                    at = put(at, buf + head.fields[j].at, head.fields[j].size)
            elif template.slots[i] == PORT:
                at = _put_port(at, buf, head)
            elif template.slots[i] == LENGTH_VALUE:
                at = put_number(at, head.length)
            elif template.slots[i] == CLIENT:
                at = put(at, PyBytes_AS_STRING(fields), PyBytes_GET_SIZE(fields))
            elif template.slots[i] == NODE:
                at = put(at, PyBytes_AS_STRING(node), PyBytes_GET_SIZE(node))
            elif template.slots[i] >= CLAIMED:
                claimed = &head.claimed[<int>template.slots[i] - <int>CLAIMED]
                at = put(at, buf + claimed.at, claimed.size)
        memcpy(at, buf + head.size, body)
        size[0] = at + body - out
        return out

    def write(self, bytes data not None, str address not None):
        """Return what an upstream is sent for a request; None where it is declined."""
        cdef const uint8_t* buf = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef RequestHead head
        cdef uint8_t* out
        if not read_request(buf, size, &self.limits, &head) or head.size + head.length > size:
            return None
        out = self.serialise(
            buf, &head, max(head.length, 0), address, self.fields_of(address), &size
        )
        try:
            return PyBytes_FromStringAndSize(<const char*>out, size)
        finally:
            PyMem_Free(out)


cdef inline uint8_t* _put_port(
    uint8_t* at, const uint8_t* buf, const RequestHead* head
) noexcept nogil:
    """Write the port in the host, or that of the protocol that the client is said to have spoken."""
    cdef const uint8_t* host = buf + head.host.at
    cdef const Span* proto = &head.claimed[<int>CLAIMED_PROTO]
    cdef Py_ssize_t size = head.host.size, digits = size
    while digits and 48 <= host[digits - 1] <= 57:
        digits -= 1
    if digits != 0 and digits != size and host[digits - 1] == 58:
        return put(at, host + digits, size - digits)
    if head.claims >> <int>CLAIMED_PROTO & 1 and proto.size == 5:
        if same_word(buf + proto.at, b"https", 5):
            return put(at, b"443", 3)
    return put(at, b"80", 2)
