"""Verdicts by raw host bytes: `gate.policy.cache.VerdictCache`, in less time and memory.

That class is the reference, and says what admission, eviction and invalidation mean; this one does
the same to the entry (tests/native/test_verdicts.py plays them against each other). What differs is
how it is held: a verdict is one object with its texts behind it in one piece of memory, and is
itself the link of three chains, those of the order of use (newest first), of the hosts' table and
of the anchors' table.

The hosts' table holds the strong reference of what is in it; all other pointers are borrowed. Only
`_enter` and `_drop` touch the chains' membership.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject_Hash
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from time import perf_counter

from gate.histogram import Histogram
from gate.native.plain_name cimport LONGEST, read_plain_name

cdef enum:
    MAX_KEY = 320               # the numbers of gate/policy/cache.py
    SAMPLE = 15
    TAGS = 1 << 18
    FIRST_BUCKETS = 1024
    STATUS_MASK = 15
    DOT = 46

cdef tuple _reasons = ()
cdef object _licence_of = None


def describe(tuple reasons not None, licence_of):
    """Say what the reasons are, by code, and how a record's licence is read."""
    global _reasons, _licence_of
    if len(reasons) > MOST_REASONS:
        raise ValueError(f"more than {MOST_REASONS} reasons")
    _reasons = reasons
    _licence_of = licence_of


@cython.final
@cython.no_gc
cdef class HeldVerdict:
    """A verdict of the ring. It has the attributes of `gate.policy.Verdict`, made when asked for.

    It stays what it was made as, and goes on being valid when the ring has dropped it.
    """

    def __dealloc__(self):
        PyMem_Free(self.text)

    @property
    def allowed(self):
        return bool(self.allowed)

    @property
    def code(self):
        return self.code

    @property
    def reason(self):
        return _reasons[self.code]

    @property
    def name(self):
        return self.text[self.name_at : self.name_at + self.name_size].decode("ascii")

    @property
    def domain(self):
        return self.text[
            self.name_at + self.domain_at : self.name_at + self.name_size
        ].decode("ascii")

    @property
    def record(self):
        at = self.name_at + self.name_size
        return self.text[at : at + self.record_size]

    @property
    def fault(self):
        return ""                       # what is malformed is never cached

    @property
    def licence(self):
        return _licence_of(self.record) if self.record_size else ""

    def __repr__(self):
        return f"<HeldVerdict {self.name!r} {self.reason}>"


cdef HeldVerdict _make(
    const uint8_t* host, Py_ssize_t host_size,
    const uint8_t* name, Py_ssize_t name_size, Py_ssize_t domain_at, bytes record,
):
    """A verdict with its texts; `allowed` and `code` are still to be set."""
    cdef HeldVerdict verdict = HeldVerdict.__new__(HeldVerdict)
    cdef Py_ssize_t record_size = PyBytes_GET_SIZE(record)
    cdef bint same
    if host_size > MAX_KEY:
        host_size = 0                   # never cached
    same = host_size == name_size and memcmp(host, name, name_size) == 0
    verdict.text = <uint8_t*>PyMem_Malloc(
        host_size + (0 if same else name_size) + record_size + 1
    )
    if verdict.text == NULL:
        raise MemoryError
    verdict.host_size = <uint16_t>host_size
    verdict.name_at = 0 if same else <uint16_t>host_size
    verdict.name_size = <uint16_t>name_size
    verdict.domain_at = <uint16_t>domain_at
    verdict.record_size = <uint32_t>record_size
    memcpy(verdict.text, host, host_size)
    if not same:
        memcpy(verdict.text + host_size, name, name_size)
    memcpy(
        verdict.text + verdict.name_at + name_size, PyBytes_AS_STRING(record), record_size
    )
    return verdict


@cython.final
cdef class VerdictRing:
    """A cache of verdicts for `size` hosts; see the module.

    `judge` gives the verdict on a host, past any cache. With a `replica`, plain hosts are looked up
    in it at once, and `statuses` says what its records' statuses mean: allowed, and the reason's
    code; `unfiled` is the code where there is no record. `shared` are the suffixes that
    `gate.policy.cache` has.

    A connection that was judged here and is handed over is judged again by the Python plane: `again`
    is set meanwhile, so that a name which is asked for once is not counted, nor admitted, as twice.
    """

    def __cinit__(self):
        self._hosts = <PyObject**>PyMem_Calloc(FIRST_BUCKETS, sizeof(PyObject*))
        self._anchors = <PyObject**>PyMem_Calloc(FIRST_BUCKETS, sizeof(PyObject*))
        self._tags = <uint8_t*>PyMem_Calloc(TAGS, 1)
        if self._hosts == NULL or self._anchors == NULL or self._tags == NULL:
            raise MemoryError
        self._mask = FIRST_BUCKETS - 1

    def __init__(
        self, Py_ssize_t size, judge, replica=None, dict statuses=None, int unfiled=0, shared=()
    ):
        self.maxsize = self._room = size
        self._judge = judge
        self._replica = replica
        self._find = None if replica is None else replica.find
        self._shared = frozenset([suffix.encode() for suffix in shared])
        self._unfiled = unfiled
        for status, (allowed, code) in (statuses or {}).items():
            if status >= MOST_REASONS:
                raise ValueError(f"a status of {status}")
            self._passes[status] = allowed
            self._codes[status] = code
        self.seconds = Histogram()      # of one miss in 16

    def __dealloc__(self):
        if self._hosts != NULL and self._anchors != NULL:
            self._clear()
        PyMem_Free(self._hosts)
        PyMem_Free(self._anchors)
        PyMem_Free(self._tags)

    # Looking up.

    def decide(self, bytes host not None):
        """The verdict on a host, from the ring or judged now."""
        return self.look_up(host)

    cdef object look_up(self, bytes host):
        """The same for the engine."""
        cdef Py_hash_t hash = PyObject_Hash(host)
        cdef PyObject* held = self._held(host, hash)
        if held == NULL:
            return self._miss(host, hash)
        if self._newest != held:
            self._to_front(<HeldVerdict>held)
        return <HeldVerdict>held

    cdef PyObject* _held(self, bytes host, Py_hash_t hash) noexcept:
        """What the ring has for a host, or NULL."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(host)
        cdef PyObject* at = self._hosts[hash & self._mask]
        cdef HeldVerdict verdict
        while at != NULL:
            verdict = <HeldVerdict>at
            if (
                verdict.hash == hash
                and verdict.host_size == size
                and memcmp(verdict.text, PyBytes_AS_STRING(host), size) == 0
            ):
                return at
            at = verdict.next_in_bucket
        return NULL

    cdef object _miss(self, bytes host, Py_hash_t hash):
        cdef Py_ssize_t slot
        cdef uint8_t tag
        cdef HeldVerdict verdict
        if self.again is not None and self.again[0] == host:
            return self.again[1]
        self.misses += 1
        if self.misses & SAMPLE:
            judged = self._judged(host)
        else:
            began = perf_counter()
            judged = self._judged(host)
            self.seconds.observe(perf_counter() - began)
        if type(judged) is not HeldVerdict:
            return judged               # it names no host
        verdict = judged
        if self.seen is not None and verdict.allowed:
            self.seen.add(verdict)
        if verdict.host_size == 0 and PyBytes_GET_SIZE(host):
            return verdict              # too long to be held
        if self._room:
            self._room -= 1
            self._enter(verdict, host, hash)
        else:
            # Missed lately?  A tag is wrong once in 256 times, which does no harm.
            slot = hash & (TAGS - 1)
            tag = hash >> 18 & 0xFF
            if self._tags[slot] == tag:
                self._evict()
                self._enter(verdict, host, hash)
            else:
                self._tags[slot] = tag
        return verdict

    cdef object _judged(self, bytes host):
        cdef uint8_t name[LONGEST]
        cdef Py_ssize_t size
        cdef int status
        cdef HeldVerdict verdict
        if self._find is None:
            return self._convert(host, self._judge(host))
        size = read_plain_name(<const uint8_t*>PyBytes_AS_STRING(host), PyBytes_GET_SIZE(host), name)
        if size == 0:
            return self._convert(host, self._judge(host))
        found = self._find(PyBytes_FromStringAndSize(<const char*>name, size))
        if self._replica.current_overrides:
            return self._convert(host, self._judge(host))
        if found is None:
            verdict = _make(
                <const uint8_t*>PyBytes_AS_STRING(host), PyBytes_GET_SIZE(host), name, size, size, b""
            )
            verdict.allowed = False
            verdict.code = self._unfiled
            return verdict
        start, record = <tuple>found
        verdict = _make(
            <const uint8_t*>PyBytes_AS_STRING(host), PyBytes_GET_SIZE(host), name, size, start, record
        )
        status = (<const uint8_t*>PyBytes_AS_STRING(record))[0] & STATUS_MASK
        verdict.allowed = self._passes[status]
        verdict.code = self._codes[status]
        return verdict

    cdef object _convert(self, bytes host, judged):
        """A verdict of `judge` as one of ours; as it is if it names no host."""
        cdef HeldVerdict verdict
        cdef bytes name, domain
        if not judged.name:
            return judged
        name = judged.name.encode("ascii")
        domain = judged.domain.encode("ascii")
        verdict = _make(
            <const uint8_t*>PyBytes_AS_STRING(host), PyBytes_GET_SIZE(host),
            <const uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name),
            PyBytes_GET_SIZE(name) - PyBytes_GET_SIZE(domain), judged.record,
        )
        verdict.allowed = judged.allowed
        verdict.code = judged.code
        return verdict

    # Coming and going.

    cdef int _enter(self, HeldVerdict verdict, bytes host, Py_hash_t hash) except -1:
        cdef PyObject** bucket
        verdict.anchor_hash = <uint32_t>self._anchor_hash(
            verdict.text + verdict.name_at, verdict.name_size
        )
        if self._size > self._mask:
            self._grow()
        verdict.hash = hash
        bucket = &self._hosts[hash & self._mask]
        verdict.next_in_bucket = bucket[0]
        bucket[0] = <PyObject*>verdict
        self._hang(verdict)
        verdict.newer = NULL
        verdict.older = self._newest
        if self._newest != NULL:
            (<HeldVerdict>self._newest).newer = <PyObject*>verdict
        else:
            self._oldest = <PyObject*>verdict
        self._newest = <PyObject*>verdict
        self._size += 1
        Py_INCREF(verdict)
        return 0

    cdef int _evict(self) except -1:
        if self._oldest == NULL:
            raise KeyError("a cache without room has nothing to evict")
        self.evictions += 1
        self._drop(<HeldVerdict>self._oldest)
        return 0

    cdef void _drop(self, HeldVerdict verdict) noexcept:
        """Take a verdict out of all chains."""
        cdef PyObject* me = <PyObject*>verdict
        cdef PyObject** link = &self._hosts[verdict.hash & self._mask]
        while link[0] != me:
            link = &(<HeldVerdict>link[0]).next_in_bucket
        link[0] = verdict.next_in_bucket
        verdict.link_of_anchor[0] = verdict.next_of_anchor
        if verdict.next_of_anchor != NULL:
            (<HeldVerdict>verdict.next_of_anchor).link_of_anchor = verdict.link_of_anchor
        if verdict.newer != NULL:
            (<HeldVerdict>verdict.newer).older = verdict.older
        else:
            self._newest = verdict.older
        if verdict.older != NULL:
            (<HeldVerdict>verdict.older).newer = verdict.newer
        else:
            self._oldest = verdict.newer
        verdict.newer = verdict.older = verdict.next_in_bucket = verdict.next_of_anchor = NULL
        verdict.link_of_anchor = NULL
        self._size -= 1
        Py_DECREF(verdict)

    cdef void _to_front(self, HeldVerdict verdict) noexcept:
        """Make it the newest; it is not that yet, so something is newer."""
        (<HeldVerdict>verdict.newer).older = verdict.older
        if verdict.older != NULL:
            (<HeldVerdict>verdict.older).newer = verdict.newer
        else:
            self._oldest = verdict.newer
        verdict.newer = NULL
        verdict.older = self._newest
        (<HeldVerdict>self._newest).newer = <PyObject*>verdict
        self._newest = <PyObject*>verdict

    cdef void _hang(self, HeldVerdict verdict) noexcept:
        """Put it into the chain of its anchor."""
        cdef PyObject** link = &self._anchors[verdict.anchor_hash & self._mask]
        verdict.next_of_anchor = link[0]
        verdict.link_of_anchor = link
        if link[0] != NULL:
            (<HeldVerdict>link[0]).link_of_anchor = &verdict.next_of_anchor
        link[0] = <PyObject*>verdict

    cdef int _grow(self) except -1:
        """Double the tables; what is in the ring stays in its order."""
        cdef Py_ssize_t count = 2 * (self._mask + 1)
        cdef PyObject** hosts = <PyObject**>PyMem_Calloc(count, sizeof(PyObject*))
        cdef PyObject** anchors = <PyObject**>PyMem_Calloc(count, sizeof(PyObject*))
        cdef PyObject* at = self._newest
        cdef PyObject** bucket
        cdef HeldVerdict verdict
        if hosts == NULL or anchors == NULL:
            PyMem_Free(hosts)
            PyMem_Free(anchors)
            raise MemoryError
        PyMem_Free(self._hosts)
        PyMem_Free(self._anchors)
        self._hosts = hosts
        self._anchors = anchors
        self._mask = count - 1
        while at != NULL:
            verdict = <HeldVerdict>at
            bucket = &hosts[verdict.hash & self._mask]
            verdict.next_in_bucket = bucket[0]
            bucket[0] = at
            self._hang(verdict)
            at = verdict.older
        return 0

    # Anchors: the last two labels of a name, or three if the two are a shared suffix.

    cdef Py_ssize_t _anchor_at(self, const uint8_t* name, Py_ssize_t size) except -1:
        """Where the anchor of a name begins in it."""
        cdef Py_ssize_t at = size, second
        at = _label_before(name, _label_before(name, size))
        if at < 0:
            return 0
        second = at + 1
        if PyBytes_FromStringAndSize(<const char*>name + second, size - second) in self._shared:
            return _label_before(name, at) + 1
        return second

    cdef Py_hash_t _anchor_hash(self, const uint8_t* name, Py_ssize_t size) except? -1:
        cdef Py_ssize_t at = self._anchor_at(name, size)
        return PyObject_Hash(PyBytes_FromStringAndSize(<const char*>name + at, size - at))

    # Changes.

    def invalidate(self, domains):
        """Drop the verdicts for names at or below each domain (of two labels or more).

        Returns how many were dropped.
        """
        cdef Py_ssize_t dropped = 0
        for domain in domains:
            dropped += self._drop_below(domain.encode())
        self._room += dropped
        return dropped

    cdef Py_ssize_t _drop_below(self, bytes domain) except -1:
        cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(domain)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(domain)
        cdef Py_ssize_t dropped = 0
        cdef bint everywhere = domain in self._shared
        cdef PyObject* at
        cdef HeldVerdict verdict
        if b"." not in domain:
            return 0
        if everywhere:                  # the suffix itself: its names hang on many anchors
            at = self._newest
        else:
            at = self._anchors[<uint32_t>self._anchor_hash(text, size) & self._mask]
        while at != NULL:
            verdict = <HeldVerdict>at
            at = verdict.older if everywhere else verdict.next_of_anchor
            if _is_at_or_below(verdict.text + verdict.name_at, verdict.name_size, text, size):
                self._drop(verdict)
                dropped += 1
        return dropped

    def clear(self):
        """Drop everything."""
        self._clear()

    cdef void _clear(self) noexcept:
        self._room += self._size
        while self._newest != NULL:
            self._drop(<HeldVerdict>self._newest)

    # What is in it.

    @property
    def currsize(self):
        return self._size

    def __len__(self):
        return self._size

    def __contains__(self, bytes host):
        return self._held(host, PyObject_Hash(host)) != NULL

    def __iter__(self):
        """The hosts, the least recently used first."""
        cdef PyObject* at = self._oldest
        cdef HeldVerdict verdict
        hosts = []
        while at != NULL:
            verdict = <HeldVerdict>at
            hosts.append(verdict.text[: verdict.host_size])
            at = verdict.newer
        return iter(hosts)


cdef Py_ssize_t _label_before(const uint8_t* name, Py_ssize_t end) noexcept nogil:
    """Where the last dot in front of `end` is, -1 if there is none."""
    cdef Py_ssize_t at = end - 1
    while at >= 0 and name[at] != DOT:
        at -= 1
    return at


cdef bint _is_at_or_below(
    const uint8_t* name, Py_ssize_t size, const uint8_t* domain, Py_ssize_t domain_size
) noexcept nogil:
    if size < domain_size or memcmp(name + size - domain_size, domain, domain_size) != 0:
        return False
    return size == domain_size or name[size - domain_size - 1] == DOT
