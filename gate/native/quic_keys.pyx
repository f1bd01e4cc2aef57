"""The keys of QUIC's Initial packets: `gate.wire.quic.keys` with OpenSSL called directly.

That module is the reference, and says where each step comes from (tests/native/test_quic_keys.py
plays them against each other). One packet takes some ten calls of OpenSSL, each far cheaper than
the Python objects around it. The library is the one that Python's own ssl module uses, found when
this is imported: nothing is needed to compile it, and where there is none, or one that has not the
functions of old, the import fails and the reference does all.

Its functions want contexts; there is one for each kind of work, given its key anew for each packet.
Nothing here lets another thread in between.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "<dlfcn.h>" nogil:
    void *dlopen(const char *name, int flags)
    void *dlsym(void *library, const char *name)
    enum: RTLD_NOW
    enum: RTLD_LOCAL

cdef enum:
    BLOCK = 64                  # of SHA-256
    DIGEST = 32
    KEY = 16
    IV = 12
    TAG = 16
    SAMPLE = 16
    LONGEST_CID = 255
    SET_TAG = 0x11              # EVP_CTRL_AEAD_SET_TAG, EVP_CTRL_AEAD_GET_TAG
    GET_TAG = 0x10

cdef enum:
    TOO_SHORT = 0               # faults, as `describe` names them
    UNDECRYPTABLE = 1
    RESERVED_BITS = 2

ctypedef struct Sha256:         # SHA256_CTX of openssl/sha.h
    uint32_t words[8 + 2 + 16 + 2]

ctypedef int (*ShaInit)(Sha256 *state) noexcept nogil
ctypedef int (*ShaUpdate)(Sha256 *state, const void *data, size_t size) noexcept nogil
ctypedef int (*ShaFinal)(uint8_t *digest, Sha256 *state) noexcept nogil
ctypedef void *(*NewContext)() noexcept nogil
ctypedef const void *(*GetCipher)() noexcept nogil
ctypedef int (*SetPadding)(void *context, int padding) noexcept nogil
ctypedef int (*Init)(
    void *context, const void *cipher, void *engine, const uint8_t *key, const uint8_t *iv
) noexcept nogil
ctypedef int (*Update)(
    void *context, uint8_t *out, int *written, const uint8_t *data, int size
) noexcept nogil
ctypedef int (*Final)(void *context, uint8_t *out, int *written) noexcept nogil
ctypedef int (*Control)(void *context, int kind, int size, void *data) noexcept nogil

cdef ShaInit sha_init
cdef ShaUpdate sha_update
cdef ShaFinal sha_final
cdef Init encrypt_init
cdef Init decrypt_init
cdef Update encrypt_update
cdef Update decrypt_update
cdef Final encrypt_final
cdef Final decrypt_final
cdef Control control
cdef void *opening = NULL       # the contexts, by what is done in them
cdef void *sealing = NULL
cdef void *masking = NULL

cdef struct Salt:               # what differs between the versions
    Sha256 inner
    Sha256 outer
    uint8_t key[32]             # labels, with their lengths
    uint8_t iv[32]
    uint8_t hp[32]
    int key_size
    int iv_size
    int hp_size

cdef Salt[2] salts
cdef uint32_t[2] numbers        # of the versions
cdef object fault = None        # raises the error for a fault's number


cdef void *symbol(void *library, const char *name) except NULL:
    cdef void *found = dlsym(library, name)
    if found == NULL:
        raise ImportError(f"libcrypto has no {name.decode()}")
    return found


cdef int load() except -1:
    """Find the library and make the contexts. Raises ImportError."""
    global sha_init, sha_update, sha_final, control, opening, sealing, masking
    global encrypt_init, decrypt_init, encrypt_update, decrypt_update, encrypt_final, decrypt_final
    cdef void *library = dlopen(b"libcrypto.so.3", RTLD_NOW | RTLD_LOCAL)
    if library == NULL:
        raise ImportError("there is no libcrypto.so.3")
    sha_init = <ShaInit>symbol(library, b"SHA256_Init")
    sha_update = <ShaUpdate>symbol(library, b"SHA256_Update")
    sha_final = <ShaFinal>symbol(library, b"SHA256_Final")
    encrypt_init = <Init>symbol(library, b"EVP_EncryptInit_ex")
    decrypt_init = <Init>symbol(library, b"EVP_DecryptInit_ex")
    encrypt_update = <Update>symbol(library, b"EVP_EncryptUpdate")
    decrypt_update = <Update>symbol(library, b"EVP_DecryptUpdate")
    encrypt_final = <Final>symbol(library, b"EVP_EncryptFinal_ex")
    decrypt_final = <Final>symbol(library, b"EVP_DecryptFinal_ex")
    control = <Control>symbol(library, b"EVP_CIPHER_CTX_ctrl")
    cdef NewContext new_context = <NewContext>symbol(library, b"EVP_CIPHER_CTX_new")
    cdef GetCipher gcm = <GetCipher>symbol(library, b"EVP_aes_128_gcm")
    cdef GetCipher ecb = <GetCipher>symbol(library, b"EVP_aes_128_ecb")
    cdef SetPadding set_padding = <SetPadding>symbol(library, b"EVP_CIPHER_CTX_set_padding")
    opening, sealing, masking = new_context(), new_context(), new_context()
    if opening == NULL or sealing == NULL or masking == NULL:
        raise ImportError("libcrypto makes no contexts")
    if (
        decrypt_init(opening, gcm(), NULL, NULL, NULL) != 1
        or encrypt_init(sealing, gcm(), NULL, NULL, NULL) != 1
        or encrypt_init(masking, ecb(), NULL, NULL, NULL) != 1
        or set_padding(masking, 0) != 1
    ):
        raise ImportError("libcrypto has no AES-128")
    return 0


load()


cdef void pads(const uint8_t *key, int size, Sha256 *inner, Sha256 *outer) noexcept:
    """HMAC's two states for a key of at most BLOCK bytes (RFC 2104)."""
    cdef uint8_t[BLOCK] block
    cdef int at
    memset(block, 0x36, BLOCK)
    for at in range(size):
        block[at] ^= key[at]
    sha_init(inner)
    sha_update(inner, block, BLOCK)
    for at in range(BLOCK):
        block[at] ^= 0x36 ^ 0x5C
    sha_init(outer)
    sha_update(outer, block, BLOCK)


cdef void digest(
    const Sha256 *inner, const Sha256 *outer, const uint8_t *message, int size, uint8_t *out
) noexcept:
    """HMAC-SHA256 of a message; `out` takes DIGEST bytes."""
    cdef Sha256 state = inner[0]
    sha_update(&state, message, size)
    sha_final(out, &state)
    state = outer[0]
    sha_update(&state, out, DIGEST)
    sha_final(out, &state)


cdef int copy_label(bytes label, uint8_t *place) except -1:
    cdef int size = <int>PyBytes_GET_SIZE(label)
    if size > 32:
        raise ValueError("a label of more than 32 bytes")
    memcpy(place, PyBytes_AS_STRING(label), size)
    return size


cdef bytes client_label = b""
cdef bytes server_label = b""


def describe(tuple versions not None, bytes client not None, bytes server not None, raises):
    """Say what the two versions' numbers, salts and labels are, and who raises which fault.

    A version is its number, its salt, and the labels of key, IV and header protection; `raises` is
    called with 0 for a packet that is too short, 1 for one that does not open, 2 for reserved bits.
    """
    global client_label, server_label, fault
    cdef int index
    cdef bytes salt
    for index in range(2):
        number, salt, key, iv, hp = versions[index]
        numbers[index] = number
        pads(
            <const uint8_t *>PyBytes_AS_STRING(salt), <int>PyBytes_GET_SIZE(salt),
            &salts[index].inner, &salts[index].outer,
        )
        salts[index].key_size = copy_label(key, salts[index].key)
        salts[index].iv_size = copy_label(iv, salts[index].iv)
        salts[index].hp_size = copy_label(hp, salts[index].hp)
    client_label, server_label, fault = client, server, raises


@cython.final
@cython.no_gc
cdef class CompiledPacketKeys:
    """The keys of one side's Initial packets: they open and seal."""

    cdef uint8_t key[KEY]
    cdef uint8_t iv[IV]
    cdef uint8_t hp[KEY]

    cdef void derive(self, const uint8_t *secret, const Salt *salt) noexcept:
        cdef Sha256 inner
        cdef Sha256 outer
        cdef uint8_t[DIGEST] out
        pads(secret, DIGEST, &inner, &outer)
        digest(&inner, &outer, salt.key, salt.key_size, out)
        memcpy(self.key, out, KEY)
        digest(&inner, &outer, salt.iv, salt.iv_size, out)
        memcpy(self.iv, out, IV)
        digest(&inner, &outer, salt.hp, salt.hp_size, out)
        memcpy(self.hp, out, KEY)

    cdef int mask(self, const uint8_t *sample, uint8_t *out) except -1:
        """Header protection of a sample (RFC 9001 section 5.4.3); `out` takes SAMPLE bytes."""
        cdef int written = 0
        if (
            encrypt_init(masking, NULL, NULL, self.hp, NULL) != 1
            or encrypt_update(masking, out, &written, sample, SAMPLE) != 1
            or written != SAMPLE
        ):
            raise RuntimeError("libcrypto does not encrypt")
        return 0

    cdef void nonce(self, uint64_t number, uint8_t *out) noexcept:
        cdef int at
        memcpy(out, self.iv, IV)
        for at in range(8):
            out[IV - 1 - at] ^= <uint8_t>(number >> (8 * at))

    def open(self, bytes datagram not None, packet, int64_t largest):
        """The packet number and the payload of an Initial; see the reference."""
        cdef Py_ssize_t start = packet.start, at = packet.payload, end = packet.end
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(datagram)
        cdef uint8_t[SAMPLE] protection
        cdef uint8_t[IV] nonce
        cdef uint8_t[4] number_bytes
        cdef uint8_t first
        cdef int size, index, written = 0, total
        cdef uint64_t number
        if not 0 <= start < at <= end <= PyBytes_GET_SIZE(datagram):
            raise ValueError("a packet outside its datagram")
        if end - at < 4 + SAMPLE:
            return fault(TOO_SHORT, end - at)
        self.mask(data + at + 4, protection)
        first = data[start] ^ (protection[0] & 0x0F)
        size = 1 + (first & 3)
        number = 0
        for index in range(size):
            number_bytes[index] = data[at + index] ^ protection[1 + index]
            number = number << 8 | number_bytes[index]
        number = nearest(number, 8 * size, largest + 1)
        self.nonce(number, nonce)
        total = <int>(end - at - size - TAG)
        payload = PyBytes_FromStringAndSize(NULL, total)
        cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(payload)
        if (
            decrypt_init(opening, NULL, NULL, self.key, nonce) != 1
            or decrypt_update(opening, NULL, &written, &first, 1) != 1
            or decrypt_update(opening, NULL, &written, data + start + 1, <int>(at - start - 1)) != 1
            or decrypt_update(opening, NULL, &written, number_bytes, size) != 1
            or decrypt_update(opening, out, &written, data + at + size, total) != 1
            or control(opening, SET_TAG, TAG, <void *>(data + end - TAG)) != 1
        ):
            raise RuntimeError("libcrypto does not decrypt")
        if decrypt_final(opening, out + total, &written) != 1:
            return fault(UNDECRYPTABLE, end - at)
        if first & 0x0C:
            return fault(RESERVED_BITS, end - at)
        return number, payload

    def seal(self, bytes header not None, uint64_t number, bytes payload not None):
        """The packet of a `header` that ends with the 4 bytes of `number`, protected."""
        cdef Py_ssize_t head = PyBytes_GET_SIZE(header), body = PyBytes_GET_SIZE(payload)
        if head < 5 or body < SAMPLE or body > 65_535:
            raise ValueError("no header, or no payload that can be sealed")
        packet = PyBytes_FromStringAndSize(NULL, head + body + TAG)
        cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(packet)
        cdef uint8_t[SAMPLE] protection
        cdef uint8_t[IV] nonce
        cdef int written = 0, index
        self.nonce(number, nonce)
        memcpy(out, PyBytes_AS_STRING(header), head)
        if (
            encrypt_init(sealing, NULL, NULL, self.key, nonce) != 1
            or encrypt_update(sealing, NULL, &written, out, <int>head) != 1
            or encrypt_update(
                sealing, out + head, &written,
                <const uint8_t *>PyBytes_AS_STRING(payload), <int>body,
            ) != 1
            or encrypt_final(sealing, out + head + body, &written) != 1
            or control(sealing, GET_TAG, TAG, out + head + body) != 1
        ):
            raise RuntimeError("libcrypto does not encrypt")
        self.mask(out + head, protection)
        out[0] ^= protection[0] & 0x0F
        for index in range(4):
            out[head - 4 + index] ^= protection[1 + index]
        return packet


cdef uint64_t nearest(uint64_t truncated, int bits, int64_t expected) noexcept:
    """RFC 9000 appendix A.3, as `decode_packet_number`."""
    cdef int64_t window = <int64_t>1 << bits
    cdef int64_t candidate = (expected & -window) | <int64_t>truncated
    if candidate <= expected - window // 2 and candidate < (<int64_t>1 << 62) - window:
        return candidate + window
    if candidate > expected + window // 2 and candidate >= window:
        return candidate - window
    return candidate


@cython.final
@cython.no_gc
cdef class CompiledInitialKeys:
    """Both sides' Initial keys, each derived when it is asked for."""

    cdef uint8_t secret[DIGEST]
    cdef int index
    cdef readonly object version
    cdef CompiledPacketKeys _client
    cdef CompiledPacketKeys _server

    def __cinit__(self, bytes dcid not None, version):
        cdef uint32_t number = version
        if number == numbers[0]:
            self.index = 0
        elif number == numbers[1]:
            self.index = 1
        else:
            raise ValueError(f"version {number:#x} has no keys here")
        self.version = version
        digest(
            &salts[self.index].inner, &salts[self.index].outer,
            <const uint8_t *>PyBytes_AS_STRING(dcid), <int>PyBytes_GET_SIZE(dcid), self.secret,
        )

    cdef CompiledPacketKeys side(self, bytes label):
        cdef Sha256 inner
        cdef Sha256 outer
        cdef uint8_t[DIGEST] secret
        cdef CompiledPacketKeys keys = CompiledPacketKeys.__new__(CompiledPacketKeys)
        pads(self.secret, DIGEST, &inner, &outer)
        digest(
            &inner, &outer, <const uint8_t *>PyBytes_AS_STRING(label),
            <int>PyBytes_GET_SIZE(label), secret,
        )
        keys.derive(secret, &salts[self.index])
        return keys

    @property
    def client(self):
        """For what the client sends."""
        if self._client is None:
            self._client = self.side(client_label)
        return self._client

    @property
    def server(self):
        """For what the server sends."""
        if self._server is None:
            self._server = self.side(server_label)
        return self._server
