"""Registry input that would open a whole suffix: refused by the importer, line by line."""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness.client import Client, get
from tests.harness.gate_process import Gate, listener, run_gate
from tests.harness.http_origin import HttpOrigin

OPENERS = (
    "cn",
    "com",
    "com.cn",
    "COM.CN",
    "com.cn.",
    ".com.cn",
    "*.com.cn",
    "*",
    ".",
    "com。cn",
    "ｃｏｍ.cn",
    "gov.cn",
    "co.uk",
    "ac.jp",
    "kawasaki.jp",
    "xn--fiqs8s",
    "中国",
    "公司.cn",
    "xn--55qx5d.cn",
    "localhost",
    "0.0.0.0",
    "1.2.3.4",
    "0x7f000001",
    "127.1",
    "[::1]",
    "com.cn/..",
    "filed.com@com",
    "com.cn\x00.filed.com",
    "a..com",
    "%63om",
)

BELOW_SUFFIXES = (
    "evil.cn",
    "evil.com",
    "evil.com.cn",
    "evil.gov.cn",
    "evil.kawasaki.jp",
    "evil.xn--fiqs8s",
    "evil.xn--55qx5d.cn",
    "localhost",
    "1.2.3.4",
)


def test_no_line_opens_a_suffix(tmp_path: Path) -> None:
    origin = HttpOrigin()
    gate = Gate(
        tmp_path,
        {
            "workers": 1,
            "listeners": [listener("http", "http")],
            "upstreams": {"default": {"http": [origin.address]}},
        },
    )
    lines = tmp_path / "filings.txt"
    lines.write_text("\n".join(["filed.com", *OPENERS, "second.com.cn"]) + "\n")
    done = run_gate("import", str(lines), "--config", str(gate.config), check=False)
    assert done.returncode == 1  # taken, but for the refused lines
    refused = re.findall(r"line (\d+)", done.stderr)
    assert [int(number) for number in refused] == list(range(2, 2 + len(OPENERS))), done.stderr

    gate.start()
    try:
        with origin:
            for host in ("filed.com", "www.second.com.cn"):
                assert ask(gate, host) == 200
            for host in BELOW_SUFFIXES:
                assert ask(gate, host) == 302, host
            assert len(origin.requests) == 2
    finally:
        gate.stop()


def ask(gate: Gate, host: str) -> int:
    with Client(gate.ports["http"]) as client:
        return client.ask(get(host, "/")).status
