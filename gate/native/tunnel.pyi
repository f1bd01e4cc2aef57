from typing import Any

from gate.native.engine import Timed

class Tunnel(Timed):
    listener: Any
    verdict: Any
    number: int
    @property
    def connection(self) -> Tunnel: ...
    @property
    def blocked(self) -> bool: ...
    def judge_again(self) -> bool: ...
