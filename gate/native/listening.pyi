import socket
from collections.abc import Callable
from typing import Any

from gate.native.onward import Onward
from gate.native.plane import NativePlane

class Listening:
    def __init__(
        self,
        plane: NativePlane,
        sock: socket.socket,
        listener: Any,
        entry: Any,
        onward: Onward,
        trusted: Onward | None = None,
        is_trusted: Callable[[str], bool] | None = None,
        observer: Any = None,
        observes_all: bool = False,
        find_door: Callable[[tuple[str, int], str], Listening | None] | None = None,
    ) -> None: ...
    def forget(self, door: Listening) -> None: ...
    def door(self, listener: Any, host: Any) -> Listening: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    def accept(self) -> bool: ...
