"""The command line: what each command says, and its exit status."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from gate import __version__
from gate.replica import Replica
from tests.harness.gate_process import GATE

CSV = """domain,licence,status
example.com,京ICP备12345678号-1,filed
example.net,,filed_elsewhere
example.org,,suspended
"""


def gate(
    state: Path, *arguments: str, stdin: str | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command on the state folder `state`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATE_")}
    return subprocess.run(
        [GATE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        input=stdin,
        env=clean | {"GATE_STATE_DIR": str(state)} | environ,
    )


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A state folder with a replica."""
    (tmp_path / "list.csv").write_text(CSV, encoding="utf-8")
    result = gate(tmp_path, "import", str(tmp_path / "list.csv"))
    assert result.returncode == 0, result.stderr
    return tmp_path


# version, help, usage


def test_version_says_which(tmp_path: Path) -> None:
    result = gate(tmp_path, "version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"gate {__version__} (Python 3.")
    assert json.loads(gate(tmp_path, "version", "--json").stdout)["version"] == __version__


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "-h"), ("import", "--help")])
def test_help_is_at_hand(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = gate(tmp_path, *arguments)
    assert result.returncode == 0
    assert "Usage: gate" in result.stdout


@pytest.mark.parametrize("arguments", [("nonsense",), ("check",), ("import", "a", "b")])
def test_wrong_usage_ends_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = gate(tmp_path, *arguments)
    assert result.returncode == 2
    assert "Usage: gate" in result.stderr


# check


@pytest.mark.parametrize(
    ("host", "status", "text"),
    [
        (
            "www.Example.com:8080",
            0,
            "www.example.com: allowed (filed)\n  filing   example.com\n"
            "  licence  京ICP备12345678号-1\n",
        ),
        ("a.example.net", 1, "a.example.net: blocked (filed_elsewhere)\n  filing   example.net\n"),
        ("example.org", 1, "example.org: blocked (suspended)\n  filing   example.org\n"),
        ("notexample.com", 1, "notexample.com: blocked (unfiled)\n"),
        ("例子.cn", 1, "例子.cn (xn--fsqu00a.cn): blocked (unfiled)\n"),
        ("127.0.0.1", 1, "127.0.0.1: blocked (ip_host)\n"),
        ("a b", 1, "a b: blocked (malformed)\n"),
    ],
)
def test_check_gives_verdict_reason_filing_and_licence(
    filled: Path, host: str, status: int, text: str
) -> None:
    result = gate(filled, "check", host)
    assert (result.returncode, result.stdout, result.stderr) == (status, text, "")


def test_check_gives_json(filled: Path) -> None:
    result = gate(filled, "check", "--json", "www.example.com")
    assert json.loads(result.stdout) == {
        "host": "www.example.com",
        "name": "www.example.com",
        "allowed": True,
        "reason": "filed",
        "domain": "example.com",
        "licence": "京ICP备12345678号-1",
    }


def test_check_follows_the_policy(filled: Path) -> None:
    assert gate(filled, "check", "127.0.0.1", GATE_POLICY__IP_HOSTS="allow").returncode == 0


def test_check_without_a_replica_says_what_to_do(tmp_path: Path) -> None:
    result = gate(tmp_path, "check", "example.com")
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "no replica at" in result.stderr
    assert "import" in result.stderr


# import


def test_import_replaces_the_set(filled: Path) -> None:
    result = gate(filled, "import", "-", stdin="example.cn\n")
    assert result.returncode == 0
    assert result.stdout.startswith("-: 1 domains imported in ")
    assert result.stdout.endswith("; 1 in the replica, no gate is running on it\n")
    assert gate(filled, "check", "example.com").returncode == 1
    assert gate(filled, "check", "example.cn").returncode == 0


def test_import_can_merge_into_the_set(filled: Path) -> None:
    merged = "domain,status\nexample.cn,filed\nexample.org,absent\n"
    result = gate(filled, "import", "--merge", "--format", "json", "-", stdin=merged)
    summary = json.loads(result.stdout)
    assert (summary["imported"], summary["entries"], summary["revision"]) == (2, 3, 2)
    assert gate(filled, "check", "example.com").returncode == 0
    assert gate(filled, "check", "example.cn").returncode == 0
    assert "revoked" in gate(filled, "check", "example.org").stdout


def test_import_reports_refused_lines_and_takes_the_rest(tmp_path: Path) -> None:
    result = gate(
        tmp_path, "import", "--format", "json", "-", stdin="example.com\ncn\nexample.com\na b\n"
    )
    assert result.returncode == 0
    summary = json.loads(result.stdout)
    assert (summary["imported"], summary["refused"], summary["repeated"]) == (1, 2, 1)
    assert summary["in_force"] is False
    lines = result.stderr.splitlines()
    assert lines[0] == "gate: -: line 2: 'cn': a top-level domain cannot be filed"
    assert lines[1].startswith("gate: -: line 4: 'a b': ")


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_import_refuses_only_the_lines_that_are_not_utf_8(filled: Path, name: str) -> None:
    path = filled / name
    path.write_bytes(
        b"domain\n# \xd6\nexample.cn\n\xc0\xfd\xd7\xd3.cn\n".replace(
            b"domain\n", b"domain\n" if name.endswith("csv") else b"\n"
        )
        + "例子.cn\n".encode()
    )
    result = gate(filled, "import", "--format", "json", str(path))
    assert result.returncode == 0
    summary = json.loads(result.stdout)
    assert (summary["imported"], summary["refused"]) == (2, 1)
    assert result.stderr.splitlines() == [
        f"gate: {path}: line 4: '\\xc0\\xfd\\xd7\\xd3.cn': not UTF-8; save the line as UTF-8"
    ]
    assert gate(filled, "check", "例子.cn").returncode == 0


def test_import_of_a_list_in_another_encoding_changes_nothing(filled: Path) -> None:
    path = filled / "gbk.txt"
    path.write_bytes("例子.cn\n".encode("gbk"))
    result = gate(filled, "import", str(path))
    assert result.returncode == 2
    refusal, end = result.stderr.splitlines()
    assert refusal.endswith("not UTF-8; save the line as UTF-8")
    assert end.endswith("holds no domain that can be taken; the replica is left as it was")
    assert gate(filled, "check", "example.com").returncode == 0


def test_import_can_take_all_or_nothing(filled: Path) -> None:
    result = gate(filled, "import", "--strict", "-", stdin="example.cn\ncn\n")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("gate: -: 1 lines refused, and --strict")
    assert gate(filled, "check", "example.com").returncode == 0


@pytest.mark.parametrize("text", ["", "# nothing\n", "cn\ncom.cn\n"])
def test_import_of_nothing_leaves_the_set_as_it_was(filled: Path, text: str) -> None:
    result = gate(filled, "import", "-", stdin=text)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith(
        "holds no domain that can be taken; the replica is left as it was"
    )
    assert gate(filled, "check", "example.com").returncode == 0


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("none.txt", None, "cannot be read: No such file or directory; check path and rights"),
        ("bad.csv", b"name\nexample.com\n", "the header is 'name'; write `domain`"),
    ],
)
def test_import_of_an_unreadable_file_is_one_clear_line(
    filled: Path, name: str, content: bytes | None, fault: str
) -> None:
    path = filled / name
    if content is not None:
        path.write_bytes(content)
    result = gate(filled, "import", str(path))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"gate: {path}: ")
    assert fault in line
    assert gate(filled, "check", "example.com").returncode == 0


def test_import_leaves_a_registrys_replica_alone(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        replica.load([], epoch="e1", revision=5)
    result = gate(tmp_path, "import", "-", stdin="example.com\n")
    assert result.returncode == 2
    assert "follows the registry epoch 'e1': make the change in the registry" in result.stderr


def run_on_terminal(state: Path, *arguments: str) -> str:
    """What a command shows on a terminal."""
    ours, theirs = pty.openpty()
    environ = os.environ | {"GATE_STATE_DIR": str(state), "TERM": "xterm"}
    process = subprocess.Popen([GATE, *arguments], stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(30) == 0
    return shown.decode()


def test_import_shows_progress_on_a_terminal_only(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("".join(f"d{number}.cn\n" for number in range(20_000)))
    assert "reading" in run_on_terminal(tmp_path, "import", str(path))
    assert gate(tmp_path, "import", str(path)).stderr == ""


# config


def test_config_check_accepts_the_shipped_file(tmp_path: Path) -> None:
    path = Path(__file__).parent.parent / "config" / "gate.yaml"
    result = gate(tmp_path, "config", "check", "--config", str(path))
    assert result.returncode == 0
    assert result.stdout == f"{path}: ok\n"
    assert all(line.startswith("gate: warning: ") for line in result.stderr.splitlines())


@pytest.mark.parametrize("command", [("config", "check"), ("serve",)])
def test_wrong_settings_are_one_line_each_and_2(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("wrokers: 2\nlog:\n  level: loud\n")
    result = gate(tmp_path, *command, "--config", str(path))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"gate: {path}:3: log.level: must be debug, info, warning or error, not 'loud'",
        f"gate: {path}:1: wrokers: unknown key; did you mean workers?",
    ]


@pytest.mark.parametrize("command", [("config", "check"), ("serve",), ("check", "a.cn")])
def test_a_missing_settings_file_is_one_line_and_2(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "none.yaml"
    result = gate(tmp_path, *command, GATE_CONFIG=str(path))
    assert result.returncode == 2
    assert result.stderr == f"gate: {path}: no such file; give --config FILE or set GATE_CONFIG\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((b"check", b"\xff.cn"), "HOST"),
        ((b"exempt", b"\xff.cn", b"--for", b"1h", b"--reason", b"x"), "DOMAIN"),
        ((b"suspend", b"a.cn", b"--reason", b"\xff"), "reason"),
        ((b"unfiled", b"--domain", b"\xff.cn"), "domain"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_one_clear_line(
    arguments: tuple[bytes, ...], name: str
) -> None:
    done = subprocess.run([GATE, *arguments], capture_output=True, timeout=60)
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert line.startswith(f"gate: {name}: '\\udcff")
    assert "is not UTF-8" in line
