"""Pages of code that only loading needed are given back, and what runs goes on."""

from __future__ import annotations

import subprocess
import sys

from gate.supervisor.code_pages import code_of_files

MAPS = """\
00400000-00401000 r--p 00000000 fd:01 1234                     /usr/bin/python3.11
00401000-00402000 r-xp 00001000 fd:01 1234                     /usr/bin/python3.11
00700000-00800000 rw-p 00000000 00:00 0                        [heap]
7f0000000000-7f0000001000 r-xp 00000000 00:00 0
7f0000200000-7f0000300000 r-xp 00002000 fd:01 99               /lib/with a space.so (deleted)
7f0000300000-7f0000400000 r--p 00102000 fd:01 99               /lib/with a space.so (deleted)
7f0000400000-7f0000500000 rwxp 00000000 fd:01 98               /lib/written.so
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                [vdso]
"""


def test_only_code_of_files_that_nobody_can_have_written_is_given_back() -> None:
    assert list(code_of_files(MAPS.splitlines())) == [
        (0x401000, 0x402000),
        (0x7F0000200000, 0x7F0000300000),
    ]


PROGRAM = """
import pydantic_core, re
from gate.supervisor.code_pages import give_back

def resident():
    text = open("/proc/self/smaps").read()
    found = re.search(r"r-xp [^\\n]*_pydantic_core[^\\n]*\\n(?:.*\\n){1,4}Rss: +(\\d+)", text)
    return int(found[1])

pydantic_core.SchemaValidator({"type": "int"}).validate_python("1")
before = resident()
give_back()
print(before, resident(), pydantic_core.SchemaValidator({"type": "int"}).validate_python("7"))
"""


def test_a_library_takes_less_memory_then_and_runs_as_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30
    )
    before, after, value = map(int, done.stdout.split())
    assert after < before
    assert value == 7
