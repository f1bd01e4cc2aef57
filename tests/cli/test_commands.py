"""The command line: what each command says, and its exit status."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gate import __version__
from gate.replica import Replica
from tests.harness.gate_process import GATE, run_gate
from tests.harness.rights import new_terminal

pytestmark = pytest.mark.programs

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
    return run_gate(
        *arguments,
        check=False,
        stdin=stdin,
        environment=clean | {"GATE_STATE_DIR": str(state)} | environ,
    )


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a replica, which is copied and not changed."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "list.csv").write_text(CSV, encoding="utf-8")
    result = gate(folder, "import", str(folder / "list.csv"))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def filled(tmp_path: Path, imported: Path) -> Path:
    """A state folder with a replica."""
    return shutil.copytree(imported, tmp_path, dirs_exist_ok=True)


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
    assert (result.returncode, result.stderr) == (status, "")
    assert result.stdout.startswith(text + "  route    default\n")
    assert "  revision 1, " in result.stdout


FRONT = """state_dir: %s
listeners:
- {name: t, kind: tls, address: "0.0.0.0:443", transparent: tproxy,
   destinations: [203.0.113.0/24, {network: 203.0.113.9, mode: pass}]}
- {name: t6, kind: tls, address: "[::]:443", transparent: tproxy, destinations: ["2001:db8::/32"]}
- {name: q, kind: quic, address: "0.0.0.0:443", mode: monitor}
- {name: h, kind: http, address: "0.0.0.0:80", proxy_protocol_from: [198.51.100.0/24]}
"""


@pytest.mark.parametrize(
    ("options", "host", "status", "lines"),
    [
        ("--scheme tls", "example.com", 0, ["tls      passes", "by       t: enforce",
                                            "by       t6: enforce"]),
        ("--scheme tls", "un.cn", 1, ["tls      reset", "by       t: enforce",
                                      "by       t6: enforce"]),
        ("--scheme quic", "un.cn", 0, ["quic     passes", "by       q: monitor"]),
        ("--scheme http", "un.cn", 1, ["http     redirected", "by       h: enforce"]),
        ("--scheme http --from 198.51.100.7", "un.cn", 1,
         ["http     redirected", "by       h: enforce, begins with a PROXY header"]),
        ("--scheme tls --to 203.0.113.8", "un.cn", 1, ["tls      reset", "by       t: enforce"]),
        ("--scheme tls --to 203.0.113.9", "un.cn", 0, ["tls      passes", "by       t: pass"]),
        ("--scheme tls --to 2001:db8::1", "un.cn", 1, ["tls      reset", "by       t6: enforce"]),
        ("--scheme tls --to 192.0.2.1", "example.com", 1,
         ["tls      not_intercepted", "by       t: none of its destinations"]),
    ],
)  # fmt: skip
def test_check_says_what_becomes_of_a_connection(
    filled: Path, options: str, host: str, status: int, lines: list[str]
) -> None:
    config = filled / "gate.yaml"
    config.write_text(FRONT % filled)
    result = gate(filled, "check", host, "--config", str(config), *options.split())
    behind = re.split(r"\n  revision .*\n", result.stdout)[1]  # what is said without the options
    told = [line.strip() for line in behind.splitlines()]
    assert (result.returncode, told) == (status, lines)


def test_check_refuses_what_is_no_address(filled: Path) -> None:
    result = gate(filled, "check", "example.com", "--to", "example.com")
    assert result.returncode == 2
    assert "--to: 'example.com' is no IP address" in result.stderr
    result = gate(filled, "check", "example.com", "--scheme", "tls", "--url", "http://127.0.0.1:1")
    assert result.returncode == 2
    assert "without --url" in result.stderr


def test_check_gives_json(filled: Path) -> None:
    result = gate(filled, "check", "--json", "www.example.com")
    found = json.loads(result.stdout)
    assert found.pop("replica")["revision"] == 1
    assert {item["listener"]: item["mode"] for item in found.pop("listeners")} == {
        "http": "enforce",
        "tls": "enforce",
    }
    assert found == {
        "host": "www.example.com",
        "name": "www.example.com",
        "allowed": True,
        "reason": "filed",
        "domain": "example.com",
        "licence": "京ICP备12345678号-1",
        "route": "default",
    }


def test_check_says_where_a_name_would_go(filled: Path) -> None:
    settings = {
        "state_dir": str(filled),
        "listeners": [
            {"name": "web", "kind": "http", "address": "127.0.0.1:1", "mode": "monitor"},
            {"name": "tls", "kind": "tls", "address": "127.0.0.1:2"},
        ],
        "upstreams": {
            "default": {"http": ["127.0.0.1:3"]},
            "routes": [
                {
                    "match": "*.example.com",
                    "upstream": {"http": ["10.0.0.1:80", "10.0.0.2:80"], "tls": ["[::1]:443"]},
                }
            ],
        },
    }
    path = filled / "gate.yaml"
    path.write_text(json.dumps(settings))
    said = gate(filled, "check", "www.example.com", "-c", str(path)).stdout
    assert "  route    *.example.com\n" in said
    assert "  web      monitor, to 10.0.0.1:80, 10.0.0.2:80\n" in said
    assert "  tls      enforce, to [::1]:443\n" in said
    said = gate(filled, "check", "nobody.com", "-c", str(path)).stdout
    assert "  web      monitor: passes all the same, to 127.0.0.1:3\n" in said
    assert "  tls      enforce, to no origin\n" in said


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
    result = gate(filled, "import", "--yes", "-", stdin="example.cn\n")
    assert result.returncode == 0
    assert result.stdout.startswith("-: 1 domains imported in ")
    assert result.stdout.endswith(", 1 open, 1 close; 1 in the replica, no gate is running on it\n")
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
    assert result.returncode == 1
    summary = json.loads(result.stdout)
    assert (summary["imported"], summary["refused"], summary["repeated"]) == (1, 2, 1)
    assert summary["in_force"] is False
    lines = result.stderr.splitlines()
    assert lines[0] == "gate: -: line 2: 'cn': a top-level domain cannot be filed"
    assert lines[1].startswith("gate: -: line 4: 'a b': ")


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_import_refuses_only_the_lines_that_are_of_no_encoding(filled: Path, name: str) -> None:
    path = filled / name
    first = b"domain\n" if name.endswith("csv") else b"\n"
    lines = [b"# note", b"example.cn", b"\xff\xff.cn", "例子.cn".encode(), "测试.cn".encode("gbk")]
    path.write_bytes(first + b"\n".join(lines) + b"\n")
    result = gate(filled, "import", "--yes", "--format", "json", str(path))
    assert result.returncode == 1
    summary = json.loads(result.stdout)
    assert (summary["imported"], summary["refused"]) == (3, 1)
    said, refused = result.stderr.splitlines()
    assert said == f"gate: {path}: read as GB18030 + UTF-8"
    assert refused.startswith(f"gate: {path}: line 4")
    assert refused.endswith(": of no known encoding; save it as UTF-8")
    assert gate(filled, "check", "例子.cn").returncode == 0
    assert gate(filled, "check", "测试.cn").returncode == 0


def test_import_takes_a_list_in_another_encoding_and_says_which(filled: Path) -> None:
    path = filled / "gbk.txt"
    path.write_bytes("例子.cn\n".encode("gbk"))
    result = gate(filled, "import", "--yes", str(path))
    assert result.returncode == 0
    assert result.stderr == f"gate: {path}: read as GB18030\n"
    assert gate(filled, "check", "例子.cn").returncode == 0


def test_import_takes_what_the_registry_exports(filled: Path) -> None:
    database = {"GATE_REGISTRY_DB": str(filled / "registry.db")}
    listed = filled / "listed.csv"
    listed.write_text(
        "domain,licence,subject\nexported.cn,京ICP备30000001号-1,某某公司\n", encoding="utf-8"
    )
    assert gate(filled, "registry", "migrate", **database).returncode == 0
    assert gate(filled, "registry", "import", str(listed), **database).returncode == 0
    for form in ("csv", "ndjson"):
        path = filled / f"export.{form}"
        asked = ("registry", "export", "--format", form, "--output", str(path))
        assert gate(filled, *asked, **database).returncode == 0
        result = gate(filled, "import", "--yes", str(path))
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(f"{path}: 1 domains imported")
        assert "京ICP备30000001号-1" in gate(filled, "check", "exported.cn").stdout


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
        (
            "bad.csv",
            b"name\nexample.com\n",
            "there is no header: none of the first 10 rows",
        ),
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


MANY = "".join(f"d{number}.cn\n" for number in range(100))


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a replica of 100 filed domains, which is copied and not changed."""
    folder = tmp_path_factory.mktemp("hundred")
    assert gate(folder, "import", "-", stdin=MANY).returncode == 0
    return folder


@pytest.fixture
def many(tmp_path: Path, hundred: Path) -> Path:
    """A state folder with a replica of 100 filed domains."""
    return shutil.copytree(hundred, tmp_path, dirs_exist_ok=True)


def listed(count: int) -> str:
    """The first domains of `many`."""
    return "".join(f"d{number}.cn\n" for number in range(count))


@pytest.mark.parametrize(
    ("arguments", "text", "status"),
    [
        ((), listed(100), 0),
        ((), listed(90), 0),  # 10 %
        ((), listed(89), 3),
        ((), "other.cn\n", 3),
        (("--yes",), listed(2), 0),
        (("--max-shrink", "50%"), listed(50), 0),
        (("--max-shrink", "0.5"), listed(49), 3),
        (("--max-shrink", "0"), listed(99), 3),
        (("--max-shrink", "100%"), listed(1), 0),
        (("--merge",), "other.cn\n", 0),
    ],
)
def test_a_list_that_closes_much_waits_for_a_persons_word(
    many: Path, arguments: tuple[str, ...], text: str, status: int
) -> None:
    result = gate(many, "import", *arguments, "-", stdin=text)
    assert result.returncode == status, result.stderr
    assert (gate(many, "check", "d99.cn").returncode == 0) is (
        status == 3 or "d99.cn" in text or "--merge" in arguments
    )
    if status == 3:
        (line,) = result.stderr.splitlines()
        closing = len(set(MANY.split()) - set(text.split()))
        assert f"{closing} of 100 filed domains would close ({closing}.0%), such as d" in line
        assert "nothing was changed" in line
        assert "--dry-run" in line
        assert "--yes" in line


@pytest.mark.parametrize("status", ["suspended", "filed_elsewhere", "absent"])
@pytest.mark.parametrize("how", [(), ("--merge",)])
def test_a_domain_closes_whatever_it_becomes(many: Path, status: str, how: tuple[str, ...]) -> None:
    text = "domain,status\n" + "".join(f"d{number}.cn,{status}\n" for number in range(11))
    rest = "".join(f"d{number}.cn,filed\n" for number in range(11, 100))
    result = gate(many, "import", *how, "-", stdin=text + ("" if how else rest))
    assert result.returncode == 3
    assert "11 of 100 filed domains would close (11.0%), such as d0.cn, d1.cn, d10.cn" in (
        result.stderr
    )


def test_a_name_that_its_parents_filing_covers_does_not_close(many: Path) -> None:
    below = "".join(f"www.d{number}.cn\n" for number in range(100))
    assert gate(many, "import", "-", stdin=MANY + below).returncode == 0
    result = gate(many, "import", "--format", "json", "-", stdin=MANY)
    assert (result.returncode, json.loads(result.stdout)["closed"]) == (0, 0)


@pytest.mark.parametrize("share", ["10", "-1%", "101%", "x", ""])
def test_a_share_that_is_none_is_wrong_usage(many: Path, share: str) -> None:
    result = gate(many, "import", "--max-shrink", share, "-", stdin=MANY)
    assert result.returncode == 2
    assert "is no share; write 10% or 0.1" in result.stderr


def test_a_dry_run_shows_what_would_change_and_changes_nothing(filled: Path) -> None:
    text = "domain,licence,status\nexample.cn,京ICP备1号,filed\nexample.net,,filed\n"
    text += "example.com,京ICP备12345678号-1,suspended\nbad domain,,\n"
    result = gate(filled, "import", "--dry-run", "--yes", "-", stdin=text)
    assert result.returncode == 1
    *lines, summary = result.stdout.splitlines()
    assert lines == [
        "+ example.cn filed 京ICP备1号",
        "~ example.com filed 京ICP备12345678号-1 -> suspended 京ICP备12345678号-1",
        "~ example.net filed_elsewhere -> filed",
        "- example.org suspended",
    ]
    assert summary.startswith("-: 3 domains would be imported in ")
    assert summary.endswith(", 1 lines refused, 2 open, 1 close; nothing was changed")
    assert gate(filled, "check", "example.com").returncode == 0
    assert gate(filled, "check", "example.cn").returncode == 1


@pytest.mark.parametrize(("text", "status"), [(listed(95), 0), (listed(5), 3)])
def test_a_dry_runs_status_is_that_of_the_import(many: Path, text: str, status: int) -> None:
    result = gate(many, "import", "--dry-run", "-", stdin=text)
    assert result.returncode == status
    assert len([line for line in result.stdout.splitlines() if line.startswith("- d")]) == (
        5 if status == 0 else 95
    )


def test_a_dry_run_makes_no_replica(tmp_path: Path) -> None:
    result = gate(tmp_path, "import", "--dry-run", "-", stdin="example.com\n")
    assert (result.returncode, result.stdout.splitlines()[0]) == (0, "+ example.com filed")
    assert not (tmp_path / "replica").exists()


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 3), ("\n", 3)])
def test_a_person_at_a_terminal_is_asked(many: Path, answer: str, status: int) -> None:
    path = many / "list.txt"
    path.write_text("d1.cn\n")
    shown = run_on_terminal(many, "import", str(path), answer=answer, status=status)
    assert "99 of 100 filed domains would close" in shown
    assert "Go on? [y/N]" in shown
    assert (gate(many, "check", "d2.cn").returncode == 0) is (status == 3)


def run_on_terminal(state: Path, *arguments: str, answer: str = "", status: int = 0) -> str:
    """What a command shows on a terminal, where a person types `answer`."""
    ours, theirs = new_terminal()
    environ = os.environ | {"GATE_STATE_DIR": str(state), "TERM": "xterm"}
    process = subprocess.Popen(
        [GATE, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    )
    os.close(theirs)
    os.write(ours, answer.encode())
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
    assert process.wait(30) == status, shown
    return shown.decode()


def test_import_shows_progress_on_a_terminal_only(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("".join(f"d{number}.cn\n" for number in range(20_000)))
    assert "reading" in run_on_terminal(tmp_path, "import", str(path))
    assert gate(tmp_path, "import", str(path)).stderr == ""


# config


def test_config_check_accepts_the_shipped_file(tmp_path: Path) -> None:
    path = Path(__file__).parent.parent.parent / "config" / "gate.yaml"
    result = gate(tmp_path, "config", "check", "--config", str(path))
    assert result.returncode == 0
    assert result.stdout == f"{path}: ok\n"
    assert all(line.startswith("gate: warning: ") for line in result.stderr.splitlines())


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://notice.example.org/", True),
        ("https://203.0.113.5/page", True),
        ("http://notice.example.org:8081/", False),
        ("http://notice.example.com/", False),
    ],
)
def test_config_check_warns_of_a_notice_page_that_would_be_blocked(
    filled: Path, url: str, warned: bool
) -> None:
    config = filled / "gate.yaml"
    config.write_text(f"state_dir: {filled}\nnotice: {{url: '{url}'}}\n")
    result = gate(filled, "config", "check", "--config", str(config))
    assert result.returncode == 0
    assert (f"notice.url {url}: " in result.stderr) is warned


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


def loaded(code: str, *names: str) -> list[str]:
    """Return which of these modules a program has loaded."""
    code += f"; import sys; print(*sorted({set(names)} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    return result.stdout.splitlines()[-1].split()


def test_the_quick_commands_load_little() -> None:
    code = "from gate.cli import main; main(['version'], standalone_mode=False)"
    assert not loaded(code, "aiohttp", "asyncio", "pydantic", "sqlalchemy", "lmdb")


def test_the_workers_of_a_gate_wait_for_nothing_that_only_others_need() -> None:
    """What the supervisor loads before it forks them is in the way of the first answer."""
    others = ("gate.control.process", "gate.control.workers", "gate.sync", "gate.registry.server")
    libraries = ("aiohttp", "cryptography", "jinja2", "prometheus_client", "sqlalchemy")
    looking_for_plugins = ("importlib.metadata", "zipfile")  # see gate/settings/no_plugins.py
    assert not loaded("import gate.cli.serve", *others, *libraries, *looking_for_plugins)


def test_a_control_process_loads_nothing_that_its_settings_do_not_ask_for() -> None:
    code = (
        "from gate.control.process import preload; from gate.settings import Settings; "
        "preload(Settings(), follows=False)"
    )
    assert not loaded(code, "cryptography", "gate.sync.agent", "sqlalchemy", "nats")
