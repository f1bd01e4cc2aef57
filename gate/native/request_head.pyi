def read(
    data: bytes,
    max_head: int = 16384,
    max_line: int = 8192,
    max_fields: int = 128,
    forwarding: int = 0,
    via: bool = False,
) -> tuple[bytes, bytes, bytes, bytes, tuple[bytes, ...], int, bool, int] | None: ...
def accepts(data: bytes) -> int | None: ...
