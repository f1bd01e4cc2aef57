from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    MOST_REASONS = 16

cdef class HeldVerdict:
    cdef PyObject* newer            # the neighbours in the order of use
    cdef PyObject* older
    cdef PyObject* next_in_bucket   # of the hosts' table
    cdef PyObject* next_of_anchor   # of the anchors' table
    cdef PyObject** link_of_anchor  # what points here in it
    cdef Py_hash_t hash
    cdef uint8_t* text              # host, name if it is not the host, record
    cdef uint32_t record_size
    cdef uint16_t host_size         # 0 where it is not held
    cdef uint16_t name_at
    cdef uint16_t name_size
    cdef uint16_t domain_at         # within the name; name_size: no domain
    cdef uint32_t anchor_hash
    cdef uint8_t code
    cdef uint8_t allowed

cdef class VerdictRing:
    cdef PyObject* _newest
    cdef PyObject* _oldest
    cdef PyObject** _hosts
    cdef PyObject** _anchors
    cdef Py_ssize_t _mask           # of either table's index
    cdef Py_ssize_t _size
    cdef Py_ssize_t _room
    cdef uint8_t* _tags
    cdef tuple again            # a host and its verdict, which are asked for once more
    cdef object _judge
    cdef object _replica
    cdef object _find
    cdef frozenset _shared
    cdef uint8_t _codes[MOST_REASONS]       # of the reason, by a record's status
    cdef bint _passes[MOST_REASONS]
    cdef uint8_t _unfiled
    cdef public object seen     # is told of every verdict that is made and lets pass; or None
    cdef readonly Py_ssize_t maxsize
    cdef readonly long misses
    cdef readonly long evictions
    cdef readonly object seconds

    cdef object look_up(self, bytes host)
    cdef PyObject* _held(self, bytes host, Py_hash_t hash) noexcept
    cdef object _miss(self, bytes host, Py_hash_t hash)
    cdef object _judged(self, bytes host)
    cdef object _convert(self, bytes host, judged)
    cdef int _enter(self, HeldVerdict verdict, bytes host, Py_hash_t hash) except -1
    cdef int _evict(self) except -1
    cdef void _drop(self, HeldVerdict verdict) noexcept
    cdef void _to_front(self, HeldVerdict verdict) noexcept
    cdef void _hang(self, HeldVerdict verdict) noexcept
    cdef Py_hash_t _anchor_hash(self, const uint8_t* name, Py_ssize_t size) except? -1
    cdef int _grow(self) except -1
    cdef Py_ssize_t _anchor_at(self, const uint8_t* name, Py_ssize_t size) except -1
    cdef Py_ssize_t _drop_below(self, bytes domain) except -1
    cdef void _clear(self) noexcept
