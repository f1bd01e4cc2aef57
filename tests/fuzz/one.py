"""The process that fuzzes one target: `python -m tests.fuzz.one TARGET [libFuzzer's arguments]`.

`tests.fuzz.run` starts it. Besides the target's own invariants it watches the CPU time that inputs
take. Now and then an input is stretched: a piece of it is repeated up to 64 kB and parsed, so that
a cost which grows faster than the input shows. More than a generous line for the size, three times
in a row, is a finding. The line is one of a machine that does STEPS in STEPS_SECONDS; a slower one
is given as much more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from zlib import crc32

import atheris

from tests.fuzz.targets import Target, load

STEPS = 1_000_000
"""Turns of an empty loop, by which the interpreter's speed is measured."""
STEPS_SECONDS = 0.012
BASE_SECONDS = 0.1
"""CPU time that any input may take, instrumented, where its target does not say more."""
CHECK_SECONDS_PER_BYTE = 50e-6
"""What each byte may add where all invariants are checked, with every cut that is tried."""
PARSE_SECONDS_PER_BYTE = 5e-6
"""What each byte may add to one parse."""
STRETCHED_BYTES = 65_536
ONE_IN = 1024
"""How many inputs come for each that is stretched."""


def stretched(data: bytes, lot: int) -> bytes:
    """`data` with a piece of it, which `lot` chooses, repeated to STRETCHED_BYTES."""
    start = lot % len(data)
    piece = data[start : start + 1 + (lot >> 8) % min(len(data), 64)]
    times = (STRETCHED_BYTES - len(data)) // len(piece)
    return data[:start] + piece * times + data[start:]


def slowness() -> float:
    """Return how many times as slow this machine is as the one of the limits; at least 1."""
    start = time.thread_time()
    for _ in range(STEPS):
        pass
    return max(1.0, (time.thread_time() - start) / STEPS_SECONDS)


def expect_in_time(
    read: Callable[[bytes], object], data: bytes, base: float, per_byte: float
) -> None:
    """Call `read`; raise AssertionError if it takes more CPU time than such an input may."""
    limit = base + per_byte * len(data)
    for _ in range(3):  # a collection of garbage may fall into one
        start = time.thread_time()
        read(data)
        spent = time.thread_time() - start
        # How fast it is now: others may use the same core.
        if spent < limit or spent < limit * slowness():
            return
    raise AssertionError(f"{len(data)} bytes take more than {limit:.2f} s of CPU time")


def timed(target: Target) -> Callable[[bytes], None]:
    """What the fuzzer calls for each input."""
    check, parse = target.check, target.parse
    base: float = getattr(target, "BASE_SECONDS", BASE_SECONDS)

    def check_in_time(data: bytes) -> None:
        expect_in_time(check, data, base, CHECK_SECONDS_PER_BYTE)
        lot = crc32(data)
        if data and (lot >> 20) % ONE_IN == 0:
            expect_in_time(parse, stretched(data, lot), base, PARSE_SECONDS_PER_BYTE)

    return check_in_time


def main() -> None:
    """Fuzz until a bound or a finding; ends the process."""
    name, *arguments = sys.argv[1:]
    # Coverage of the checks themselves would lead the fuzzer astray.
    with atheris.instrument_imports(include=["gate", "idna"], enable_loader_override=False):
        target = load(name)
    atheris.Setup([sys.argv[0], *arguments], timed(target))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
