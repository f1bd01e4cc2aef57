"""Classes of bytes in HTTP/1 (gate/wire/http1/grammar.py has the sources), one bit each."""

from libc.stdint cimport uint8_t

cdef enum:
    TOKEN = 1    # a byte of a method or a field name
    TEXT = 2     # a byte of a field value
    TARGET = 4   # a byte of a request target
    LDH = 8      # a letter, digit, hyphen, or the dot between labels
    DIGIT = 16
    BLANK = 32   # a space or tab

cdef const uint8_t* byte_classes() noexcept

cdef inline bint same_word(const uint8_t* text, const char* word, Py_ssize_t size) noexcept nogil:
    """Whether `size` bytes are the lower-case `word` of that size, in any case."""
    cdef Py_ssize_t i
    cdef uint8_t byte
    for i in range(size):
        byte = text[i]
        if 65 <= byte <= 90:
            byte |= 32
        if byte != <uint8_t>word[i]:
            return False
    return True

