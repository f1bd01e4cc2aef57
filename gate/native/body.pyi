from collections.abc import Callable

from gate.wire.http1 import ChunkedBody

def walk(
    framing: int,
    length: int,
    portions: list[bytes],
    odd_chunks: Callable[[bool, int], ChunkedBody] | None = None,
) -> tuple[bytes, bool] | None: ...
