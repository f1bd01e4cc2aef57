"""The table of byte classes, filled once."""

cdef uint8_t _classes[256]


cdef const uint8_t* byte_classes() noexcept:
    return _classes


def _fill():
    for byte in range(256):
        text = bytes([byte])
        _classes[byte] = (
            TOKEN * (text.isalnum() or text in b"!#$%&'*+-.^_`|~")
            | TEXT * (byte == 9 or 0x20 <= byte <= 0x7E or byte >= 0x80)
            | TARGET * (byte in (0x21, 0x22) or 0x24 <= byte <= 0x7E or byte >= 0x80)
            | LDH * (text.isalnum() or text in b"-.")
            | DIGIT * text.isdigit()
            | BLANK * (byte in (9, 32))
        )


_fill()
