"""What is serialised, as literal pieces and the slots between them.

A template is cut from a sample that the Python serialiser has made (gate/proxy/native_templates.py),
so what native writes is what Python would write.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t


cdef class Template:
    """`pieces` are literals, each with the slot behind it; the last one's is 0."""

    def __init__(self, list pieces):
        if len(pieces) > MOST_PIECES:
            raise ValueError(f"more than {MOST_PIECES} pieces")
        self._owned = [literal for literal, _ in pieces]
        for literal, slot in pieces:
            if not 0 <= slot < SLOT_KINDS:
                raise ValueError(f"no slot has the number {slot}")
            self.literals[self.count] = <const uint8_t*>PyBytes_AS_STRING(literal)
            self.sizes[self.count] = PyBytes_GET_SIZE(literal)
            self.slots[self.count] = slot
            self.has_node = self.has_node or slot == NODE
            self.fixed += self.sizes[self.count]
            self.count += 1


cdef uint8_t* put_number(uint8_t* at, int64_t number) noexcept nogil:
    """Write a number that is not negative; return what is behind it."""
    cdef uint8_t digits[MOST_DIGITS]
    cdef int count = 0
    while True:
        digits[count] = <uint8_t>(48 + number % 10)
        count += 1
        number //= 10
        if number == 0:
            break
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at
