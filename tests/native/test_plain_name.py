"""Plain hosts: the compiled reader and `gate.names.plain_name` say the same of every host."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

plain_name = pytest.importorskip("gate.native.plain_name", reason="no compiler was there")

from gate.names import plain_name as reference  # noqa: E402

PARTS = st.sampled_from(
    [
        "a",
        "B",
        "9",
        "z0",
        "-",
        ".",
        "..",
        ":",
        ":80",
        ":65535",
        ":65536",
        ":00080",
        ":123456",
        "_",
        "xn--a",
        "a--",
        "---",
        "\x80",
        "a" * 30,
        "a" * 63,
        " ",
        "[",
        "cn",
        "com",
        "1.2.3.4",
        "0x1",
    ]
)


@given(st.lists(PARTS, max_size=6).map("".join).map(lambda text: text.encode("latin-1")))
@example(b"a" * 63 + b".")
@example(b"a" * 63 + b".:80")
@example(b"a" * 62 + b".:")
@example(b"a" * 64)
@example(b"a.")
@example(b"a-.")
@example(b"a--b.-c")
@example(b"a.--b")
@example(b"a--b.")
@example(b"a.-b")
@example(b"-a")
@example(b".")
@example(b"")
def test_both_say_the_same(host: bytes) -> None:
    assert plain_name.read(host) == reference(host)
