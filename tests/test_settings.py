"""Settings: one clear line for each error, the environment over the file, nothing undescribed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gate.settings import ConfigError, Mode, Settings, load
from gate.settings.advice import advice
from gate.settings.describe import section
from gate.settings.mask import MASK, masked
from gate.settings.reload import merge

CONFIG = Path(__file__).parent.parent / "config" / "gate.yaml"


def load_text(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "gate.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ)


def problems(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text, **environ)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems), "one line for each problem"
    return [line.removeprefix(f"{tmp_path}/") for line in lines]


def routes(*matches: str) -> str:
    lines = [f"    - match: {json.dumps(m)}\n      upstream: {{}}\n" for m in matches]
    return "upstreams:\n  routes:\n" + "".join(lines)


@pytest.mark.parametrize(
    ("match", "canonical"),
    [
        ("example.cn", "example.cn"),
        ("Example.CN.", "example.cn"),
        (".Example.cn", ".example.cn"),
        ("*.EXAMPLE.cn.", "*.example.cn"),
        ("例子.中国", "xn--fsqu00a.xn--fiqs8s"),
        ("*.例子。中国", "*.xn--fsqu00a.xn--fiqs8s"),
        (".XN--fiqs8s", ".xn--fiqs8s"),
        ("xn--a.example.cn", "xn--a.example.cn"),
        ("_a.example.cn", "_a.example.cn"),
        ("localhost", "localhost"),
        (".cn", ".cn"),
        ("0x7f.1", "127.0.0.1"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("2001:db8::1", "[2001:db8::1]"),
    ],
)
def test_a_route_matches_a_name_as_it_is_judged(tmp_path: Path, match: str, canonical: str) -> None:
    settings = load_text(tmp_path, routes(match))
    assert settings.upstreams.routes[0].match == canonical


@pytest.mark.parametrize(
    ("match", "text"),
    [
        ("", "matches no name; write example.cn"),
        (".", "matches no name; write example.cn"),
        ("*", "is every name: put the pool under upstreams.default"),
        ("*.", "matches no name; write example.cn"),
        ("http://example.cn/", "is a URL; write the name alone: example.cn"),
        ("https://user@Example.cn:8443/a?b", "is a URL; write the name alone: example.cn"),
        ("https://[::1]/", "is a URL; write the name alone: [::1]"),
        ("https://*.example.cn/", "is a URL; write the name alone: *.example.cn"),
        ("//example.cn", "is a URL; write the name alone: example.cn"),
        ("example.cn/path", "is a URL; write the name alone: example.cn"),
        ("://", "is a URL; write the name alone"),
        ("example.cn:8080", "has a port; a route is for all ports: write example.cn"),
        (".example.cn:80", "has a port; a route is for all ports: write .example.cn"),
        ("[::1]:80", "has a port; a route is for all ports: write [::1]"),
        ("www.*.cn", "has a * that is not in front, as in *.example.cn"),
        ("a*.example.cn", "has a * that is not in front, as in *.example.cn"),
        ("*example.cn", "has a * that is not in front, as in *.example.cn"),
        ("*.*.example.cn", "has a * that is not in front, as in *.example.cn"),
        ("..example.cn", "the name has an empty label"),
        (".1.2.3.4", "is an address, which has no names below it: write 1.2.3.4"),
        ("*.[::1]", "is an address, which has no names below it: write [::1]"),
        ("my_shop.cn", "an underscore is allowed only below the filed domain"),
        ("two words.cn", "only letters, digits, hyphens and dots are allowed"),
        ("xn--a.中国", "is no name: "),
        ("a" * 64 + ".cn", "a label is longer than 63 octets"),
    ],
)
def test_a_route_that_would_never_match_is_an_error(tmp_path: Path, match: str, text: str) -> None:
    (line,) = problems(tmp_path, routes("ok.cn", match))
    assert line.startswith(f"gate.yaml:5: upstreams.routes[1].match: {match!r} ")
    assert text in line


def test_two_routes_for_one_match_are_an_error(tmp_path: Path) -> None:
    text = routes("例子.cn", "example.cn", ".example.cn", "*.example.cn", "Example.cn.")
    assert problems(tmp_path, text) == [
        "gate.yaml:1: upstreams: routes[1] and routes[4] both match 'example.cn'; keep one"
    ]
    assert len(load_text(tmp_path, text.replace("Example.cn.", "other.cn")).upstreams.routes) == 5


# The file with every key


def test_the_shipped_file_has_every_default() -> None:
    assert load(CONFIG, {}) == Settings()


def keys(model: type[BaseModel]) -> list[tuple[type[BaseModel], str]]:
    found = []
    for name, info in model.model_fields.items():
        found.append((model, name))
        below = section(info)
        if below is not None:
            found.extend(keys(below))
    return found


@pytest.mark.parametrize(
    ("model", "name"), keys(Settings), ids=lambda value: getattr(value, "__name__", value)
)
def test_every_key_is_in_the_shipped_file_below_its_meaning(
    model: type[BaseModel], name: str
) -> None:
    description = model.model_fields[name].description
    assert description, "a key needs a description"
    text = " ".join(
        line.strip().lstrip("#").strip() for line in CONFIG.read_text(encoding="utf-8").splitlines()
    )
    assert re.search(rf"{re.escape(description)}( Needs a restart\.)? (- )?{name}:", text)


def test_the_example_in_the_shipped_file_is_valid(tmp_path: Path) -> None:
    text = CONFIG.read_text(encoding="utf-8")
    first = text.index("  # for example:\n  # routes:")
    block = text[first:].split("\n  # Seconds to connect", 1)[0].splitlines()[1:]
    example = "upstreams:\n" + "\n".join(line.replace("# ", "", 1) for line in block)
    settings = load_text(tmp_path, example)
    assert settings.upstreams.routes[0].match == ".shop.example.cn"


# Errors


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("wrokers: 2", "gate.yaml:1: wrokers: unknown key; did you mean workers?"),
        (
            "log:\n  colour: red",
            "gate.yaml:2: log.colour: unknown key; known keys: level, format, access",
        ),
        ("workers: many", "gate.yaml:1: workers: must be a whole number, not 'many'"),
        ("workers: -1", "gate.yaml:1: workers: must be at least 0, not -1"),
        ("workers: 1000", "gate.yaml:1: workers: must be at most 256, not 1000"),
        (
            "limits:\n  idle_seconds: 0",
            "gate.yaml:2: limits.idle_seconds: must be more than 0.0, not 0",
        ),
        (
            "limits:\n  idle_seconds: soon",
            "gate.yaml:2: limits.idle_seconds: must be a number, not 'soon'",
        ),
        (
            "limits: {head_bytes: 12}",
            "gate.yaml:1: limits.head_bytes: must be at least 1024, not 12",
        ),
        (
            "policy:\n  ip_hosts: maybe",
            "gate.yaml:2: policy.ip_hosts: must be block or allow, not 'maybe'",
        ),
        (
            "notice:\n  with_query: 2",
            "gate.yaml:2: notice.with_query: must be true or false, not 2",
        ),
        ("log: loud", "gate.yaml:1: log: must be a section with keys of its own, not 'loud'"),
        (
            "listeners: http",
            "gate.yaml:1: listeners: must be a list (write [a, b] or lines that begin with -), "
            "not 'http'",
        ),
        (
            "listeners:\n- name: web\n  kind: http",
            "gate.yaml:2: listeners[0].address: this key must be given",
        ),
        (
            "listeners:\n- name: Web\n  kind: http\n  address: 0.0.0.0:80",
            "gate.yaml:2: listeners[0].name: 'Web' does not match ^[a-z0-9_-]{1,32}$",
        ),
        (
            "admin:\n  listen: '9464'",
            "gate.yaml:2: admin.listen: '9464' is not HOST:PORT; "
            "write 127.0.0.1:8080 or [::1]:8080",
        ),
        (
            "admin:\n  listen: '::1:9464'",
            "gate.yaml:2: admin.listen: '::1:9464': an IPv6 address stands in brackets; "
            "write [::1]:8080",
        ),
        (
            "admin:\n  listen: http://10.0.0.1:80",
            "gate.yaml:2: admin.listen: 'http://10.0.0.1:80' is no address but a URL or path; "
            "write HOST:PORT alone, 10.0.0.1:80",
        ),
        (
            "admin:\n  listen: a..b:80",
            "gate.yaml:2: admin.listen: 'a..b:80': 'a..b' is neither an IP address nor a host's "
            "name",
        ),
        (
            "upstreams:\n  default: {tls: ['a b:443']}",
            "gate.yaml:2: upstreams.default.tls[0]: 'a b:443': 'a b' is neither an IP address nor "
            "a host's name",
        ),
        (
            "limits: {head_seconds: 10 minutes}",
            "gate.yaml:1: limits.head_seconds: must be a number, not '10 minutes'",
        ),
        (
            "limits: {head_bytes: 64kb}",
            "gate.yaml:1: limits.head_bytes: must be a whole number, not '64kb'",
        ),
        (
            "limits: {head_seconds: 0s}",
            "gate.yaml:1: limits.head_seconds: must be more than 0.0, not 0.0",
        ),
        (
            "admin:\n  listen: 127.0.0.1:70000",
            "gate.yaml:2: admin.listen: '127.0.0.1:70000': a port is at most 65535",
        ),
        (
            "notice:\n  url: javascript:alert(1)",
            "gate.yaml:2: notice.url: 'javascript:alert(1)' is not an http(s) URL; "
            "write https://notice.example.cn/",
        ),
        (
            'notice:\n  url: "http://a/\\r\\nX: y"',
            "gate.yaml:2: notice.url: 'http://a/\\r\\nX: y' holds spaces, a fragment or "
            "characters that need encoding",
        ),
        ("workers: 1\nworkers: 2", "gate.yaml:2: workers: stands already in line 1; keep one"),
        ("- a", "gate.yaml:1: not a mapping; write lines such as `key: 1`"),
        (
            "limits: {idle_seconds: .inf}",
            "gate.yaml:1: limits.idle_seconds: must be a number, not '.inf'",
        ),
    ],
)
def test_an_error_says_where_which_key_what_and_what_to_do(
    tmp_path: Path, text: str, line: str
) -> None:
    assert problems(tmp_path, text) == [line]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("limits.idle_seconds", "60s", 60.0),
        ("limits.idle_seconds", "1h30m", 5400.0),
        ("limits.idle_seconds", "60", 60.0),
        ("process.drain_delay", "2m", 120.0),
        ("sync.unready_seconds", "1d", 86400.0),
        ("limits.head_bytes", "64KiB", 65536),
        ("limits.head_bytes", "32 KiB", 32768),
        ("limits.head_bytes", "32768", 32768),
        ("registry.upload_bytes", "2GiB", 2 << 30),
    ],
)
def test_durations_and_sizes_are_numbers_or_texts_with_a_unit(
    tmp_path: Path, key: str, text: str, value: float
) -> None:
    section, _, name = key.partition(".")
    path = tmp_path / "gate.yaml"
    path.write_text(f"{section}:\n  {name}: {text}\n")
    environ = {f"GATE_{section}__{name}".upper(): text}
    for settings in (load(path, {}), load(None, environ)):
        assert getattr(getattr(settings, section), name) == value


@pytest.mark.parametrize("address", ["a..b:1", ".:1", "a b:1", "[::g]:1", "a" * 64 + ".cn:1"])
def test_what_no_resolver_can_be_asked_for_is_no_host(tmp_path: Path, address: str) -> None:
    (found,) = problems(tmp_path, f"admin:\n  listen: '{address}'\n")
    assert "is neither an IP address nor a host's name" in found


def test_all_errors_of_a_file_are_reported_together(tmp_path: Path) -> None:
    found = problems(tmp_path, "workers: x\nlog:\n  level: loud\nnotice:\n  list: y\n")
    assert [line.split(": ")[0] for line in found] == ["gate.yaml:1", "gate.yaml:5", "gate.yaml:3"]


@pytest.mark.parametrize(
    ("text", "where"),
    [("log: [", "gate.yaml:1"), ("a: 1\n\tb: 2", "gate.yaml:2"), ("a: 1\nb: 'x", "gate.yaml:2")],
)
def test_a_yaml_error_names_the_line(tmp_path: Path, text: str, where: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(f"{where}: not YAML: ")
    assert line.endswith("; check indentation, colons and quotes")


def test_two_listeners_may_not_share_a_name_or_an_address(tmp_path: Path) -> None:
    entry = "- {name: %s, kind: http, address: '127.0.0.1:%d'}\n"
    assert problems(tmp_path, "listeners:\n" + entry % ("a", 80) + entry % ("a", 81)) == [
        "gate.yaml: listeners: two have the name 'a'; give each its own name"
    ]
    assert problems(tmp_path, "listeners:\n" + entry % ("a", 80) + entry % ("b", 80)) == [
        "gate.yaml: listeners: two have the address '127.0.0.1:80'; give each its own address"
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file; give --config FILE"):
        load(tmp_path / "none.yaml", {})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory; check path and rights"):
        load(tmp_path, {})


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_bytes("workers: 2 # 工".encode("gbk"))
    with pytest.raises(ConfigError, match="not UTF-8 at byte 13; save the file as UTF-8"):
        load(path, {})


# Values


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_text(tmp_path, text) == Settings()


def test_off_is_a_word(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "upstreams: {default: {send_proxy: off}}")
    assert settings.upstreams.default.send_proxy == "off"


def test_an_address_is_read_as_text_and_shown_as_text(tmp_path: Path) -> None:
    settings = load_text(tmp_path, "admin: {listen: '[::1]:9000'}\nnotice: {listen: null}")
    assert (settings.admin.listen.host, settings.admin.listen.port) == ("::1", 9000)
    assert str(settings.admin.listen) == "[::1]:9000"
    assert settings.notice.listen is None


# The environment


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("GATE_WORKERS", "3", ("workers",), 3),
        ("GATE_POLICY__IP_HOSTS", "allow", ("policy", "ip_hosts"), "allow"),
        ("GATE_LIMITS__IDLE_SECONDS", "1.5", ("limits", "idle_seconds"), 1.5),
        ("GATE_NOTICE__WITH_QUERY", "false", ("notice", "with_query"), False),
        ("GATE_NOTICE__LISTEN", "null", ("notice", "listen"), None),
        ("GATE_PROCESS__USER", "1000", ("process", "user"), "1000"),
        ("GATE_LISTENERS", "[]", ("listeners",), ()),
    ],
)
def test_the_environment_wins_over_the_file(
    tmp_path: Path, variable: str, value: str, key: tuple[str, ...], expected: object
) -> None:
    settings: Any = load_text(
        tmp_path, "workers: 1\npolicy: {ip_hosts: block}\n", **{variable: value, "PATH": "/bin"}
    )
    for name in key:
        settings = getattr(settings, name)
    assert settings == expected


@pytest.mark.parametrize(
    "value", ["['10.0.0.1:80', '10.0.0.2:80']", "- 10.0.0.1:80\n- 10.0.0.2:80"]
)
def test_a_list_from_the_environment_is_yaml(tmp_path: Path, value: str) -> None:
    settings = load_text(tmp_path, "", GATE_UPSTREAMS__DEFAULT__HTTP=value)
    assert [str(item) for item in settings.upstreams.default.http] == [
        "10.0.0.1:80",
        "10.0.0.2:80",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        (
            "GATE_WORKER",
            "2",
            "environment GATE_WORKER: worker: unknown key; did you mean workers?",
        ),
        (
            "GATE_WORKERS",
            "two",
            "environment GATE_WORKERS: workers: must be a whole number, not 'two'",
        ),
        (
            "GATE_WORKERS__MORE",
            "2",
            "environment GATE_WORKERS__MORE: workers.more: workers is not a section; "
            "set it as a whole",
        ),
    ],
)
def test_an_error_in_the_environment_names_the_variable(
    tmp_path: Path, variable: str, value: str, line: str
) -> None:
    assert problems(tmp_path, "workers: 1", **{variable: value}) == [line]


def test_a_broken_list_in_the_environment_is_one_line(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "", GATE_LISTENERS="[{name")
    assert line.startswith("environment GATE_LISTENERS: listeners: not YAML: ")


def test_the_variable_that_names_the_file_is_no_key(tmp_path: Path) -> None:
    assert load_text(tmp_path, "", GATE_CONFIG="x") == Settings()


# Reload


def test_a_reload_changes_what_can_change_and_names_what_cannot(tmp_path: Path) -> None:
    running = load_text(tmp_path, "workers: 2\nlimits: {idle_seconds: 5}\n")
    wanted = load_text(
        tmp_path,
        "workers: 3\nlimits: {idle_seconds: 6}\nnotice: {url: 'https://n.cn/', listen: null}\n",
    )
    merged, kept = merge(running, wanted)
    assert kept == ["workers", "notice.listen"]
    assert (merged.workers, merged.notice.listen) == (2, running.notice.listen)
    assert (merged.limits.idle_seconds, merged.notice.url) == (6, "https://n.cn/")


def test_a_reload_changes_a_listeners_mode_and_not_its_address(tmp_path: Path) -> None:
    text = "listeners:\n- {name: %s, kind: http, address: '127.0.0.1:%d', mode: %s}\n"
    running = load_text(tmp_path, text % ("a", 80, "enforce"))
    merged, kept = merge(running, load_text(tmp_path, text % ("a", 81, "monitor")))
    assert kept == ["listeners (a: address)"]
    assert merged.listeners[0].mode is Mode.MONITOR
    assert merged.listeners[0].address.port == 80
    merged, kept = merge(running, load_text(tmp_path, text % ("b", 80, "enforce")))
    assert kept == ["listeners (a is gone)", "listeners (b is new)"]
    assert merged.listeners == running.listeners


def test_a_reload_without_a_change_keeps_nothing_back() -> None:
    assert merge(Settings(), Settings()) == (Settings(), [])


# Advice


def test_settings_that_are_hardly_meant_are_named(tmp_path: Path) -> None:
    warnings = list(advice(Settings()))
    assert [warning.split(" ")[0] for warning in warnings] == [
        "upstreams.default.http",
        "upstreams.default.tls",
        "notice.url",
    ]
    good = load_text(
        tmp_path,
        "upstreams: {default: {http: ['10.0.0.1:80'], tls: ['10.0.0.1:443']}}\n"
        "notice: {url: 'http://notice.example.cn/'}\n",
    )
    assert list(advice(good)) == []


@pytest.mark.parametrize(
    ("registry", "warned"),
    [("embedded", True), ("https://registry.example.cn", False)],
)
@pytest.mark.parametrize(
    "channel", ["push: {listen: '127.0.0.1:9470'}", "nats: {servers: ['nats://127.0.0.1']}"]
)
def test_changes_of_a_registry_that_has_no_name_are_named(
    tmp_path: Path, channel: str, registry: str, warned: bool
) -> None:
    found = load_text(tmp_path, f"sync:\n  registry: {registry}\n  {channel}\n")
    told = [line for line in advice(found) if line.startswith(f"sync.{channel[:4]} brings")]
    assert bool(told) is warned


@pytest.mark.parametrize(
    ("address", "url", "warned"),
    [
        ("0.0.0.0:80", "http://127.0.0.1/", True),
        ("10.0.0.5:8080", "http://10.0.0.5:8080/page", True),
        ("0.0.0.0:80", "http://127.0.0.1:8081/", False),
        ("0.0.0.0:80", "https://127.0.0.1/", False),
        ("0.0.0.0:80", "http://notice.example.cn/", False),
    ],
)
def test_a_notice_page_that_is_a_listener_is_named(
    tmp_path: Path, address: str, url: str, warned: bool
) -> None:
    text = (
        f"listeners: [{{name: http, kind: http, address: '{address}'}}]\n"
        f"upstreams: {{default: {{http: ['10.0.0.1:80']}}}}\nnotice: {{url: '{url}'}}\n"
    )
    own = "the listener 'http' itself"
    found = [line for line in advice(load_text(tmp_path, text)) if own in line]
    assert bool(found) is warned


# masking


def test_what_is_shown_of_the_settings_holds_no_secret() -> None:
    settings = Settings.model_validate(
        {
            "admin": {"token": "correct-horse-battery"},
            "registry": {"database": "postgresql://gate:p@ss:w/ord@db.example.cn/filings"},
            "sync": {
                "registry": "https://u:secret@registry.example.cn",
                "nats": {"servers": ["nats://gate:secret@10.0.0.1:4222", "nats://10.0.0.2:4222"]},
            },
        }
    )
    shown = masked(settings)
    assert shown["admin"]["token"] == MASK
    assert shown["admin"]["token_file"] is None
    assert shown["sync"]["registry"] == f"https://u:{MASK}@registry.example.cn"
    assert shown["sync"]["nats"]["servers"] == [
        f"nats://gate:{MASK}@10.0.0.1:4222",
        "nats://10.0.0.2:4222",
    ]
    assert shown["listeners"][0]["address"] == "0.0.0.0:8080"
    assert shown["upstreams"]["default"]["http"] == []
    text = json.dumps(shown)
    assert "secret" not in text
    assert "p@ss" not in text
    assert "ord@db" not in text


def test_what_is_shown_of_the_settings_is_all_of_them() -> None:
    settings = Settings()
    assert Settings.model_validate(masked(settings)) == settings


@pytest.mark.parametrize("token", ["short", "white space 123456", "0123456789abcdé1"])
def test_a_bad_token_is_refused_and_not_shown(token: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, environ={"GATE_ADMIN__TOKEN": token})
    assert "admin.token: " in str(refused.value)
    assert "16 or more letters, digits" in str(refused.value)
    assert token not in str(refused.value)


TRANSPARENT = "listeners:\n- {name: a, kind: %s, address: '0.0.0.0:80', %s}\n"


@pytest.mark.parametrize(
    ("kind", "words", "why"),
    [
        ("http", "transparent: tproxy", "transparent: tproxy needs destinations"),
        ("http", "destinations: [10.0.0.0/8]", "destinations is for a transparent listener"),
        ("http", "client_source: address", "client_source is for transparent: tproxy"),
        (
            "http",
            "transparent: redirect, client_source: address, destinations: [10.0.0.0/8]",
            "client_source needs transparent: tproxy",
        ),
        (
            "quic",
            "transparent: redirect, destinations: [10.0.0.0/8]",
            "redirect is for TCP; a quic listener takes transparent: tproxy",
        ),
        (
            "tls",
            "transparent: tproxy, destinations: [10.0.0.0/8], proxy_protocol_from: [10.0.0.1/32]",
            "takes no PROXY header",
        ),
        ("http", "transparent: tproxy, destinations: [10.0.0.0/8, 10.0.0.0/8]", "twice; keep one"),
        *(
            ("http", f"transparent: tproxy, destinations: ['{network}']", why)
            for network, why in (
                ("127.0.0.0/8", "loopback"),
                ("::1", "loopback"),
                ("169.254.1.0/24", "link-local"),
                ("fe80::/64", "link-local"),
                ("224.0.0.0/4", "multicast"),
                ("ff02::/16", "multicast"),
                ("0.0.0.0/32", "unspecified"),
                ("::ffff:10.0.0.0/104", "IPv4-mapped"),
                ("10.0.0.1/8", "has host bits set"),
            )
        ),
    ],
)
def test_destinations_that_no_host_can_have_are_errors(
    tmp_path: Path, kind: str, words: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=r"gate\.yaml") as caught:
        load_text(tmp_path, TRANSPARENT % (kind, words))
    assert why in str(caught.value)


def test_a_destination_is_a_network_or_one_with_a_mode(tmp_path: Path) -> None:
    words = "transparent: tproxy, destinations: [10.0.0.0/8, {network: 10.1.0.0/16, mode: pass}]"
    (listener,) = load_text(tmp_path, TRANSPARENT % ("http", words)).listeners
    assert [(item.network, item.mode) for item in listener.destinations] == [
        ("10.0.0.0/8", None),
        ("10.1.0.0/16", "pass"),
    ]


def test_a_reload_changes_the_destinations_and_not_how_they_are_taken(tmp_path: Path) -> None:
    words = "transparent: %s, destinations: [%s]"
    running = load_text(tmp_path, TRANSPARENT % ("http", words % ("tproxy", "10.0.0.0/8")))
    wanted = load_text(tmp_path, TRANSPARENT % ("http", words % ("redirect", "10.1.0.0/16")))
    merged, kept = merge(running, wanted)
    assert kept == ["listeners (a: transparent)"]
    assert merged.listeners[0].transparent == "tproxy"
    assert merged.listeners[0].destinations[0].network == "10.1.0.0/16"
    # A listener that goes on being transparent is not left without any.
    merged, _ = merge(running, load_text(tmp_path, TRANSPARENT % ("http", "mode: enforce")))
    assert merged.listeners[0].destinations == running.listeners[0].destinations


def test_a_proxy_header_may_name_the_upstream_within_destinations_alone(tmp_path: Path) -> None:
    text = TRANSPARENT % ("http", "proxy_protocol_from: [10.0.0.1/32]%s")
    text += "upstreams: {proxy_destination: true}\n"
    with pytest.raises(ConfigError, match="proxy_destination needs destinations"):
        load_text(tmp_path, text % "")
    assert load_text(tmp_path, text % ", destinations: [10.1.0.0/16]")
