"""Routes of a file: which one counts, what is no route, and what a change keeps."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.proxy import route_file
from gate.proxy.upstream import Router, UpstreamError
from gate.settings import (
    BadRoute,
    ConfigError,
    Upstreams,
    load,
    parse_routes,
    read_routes,
    route_of,
    routes_file,
)
from gate.settings.advice import advice
from tests.harness.waiting import patience

ROUTES = """\
# Many hosts.
www.example.cn    http=10.0.0.1:80,10.0.0.2:80 tls=10.0.0.1:443   # two
.example.cn       http=10.0.0.3:80
*.below.cn        http=[2001:db8::1]:80 send_proxy=v2
例子.cn            tls=10.0.0.4:443
"""


def router(path: Path, **more: object) -> Router:
    settings = {"default": {"http": ["10.9.9.9:80"]}, "routes_file": str(path)} | more
    return Router(Upstreams.model_validate(settings))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "routes"
    path.write_text(ROUTES, encoding="utf-8")
    return path


def addresses(router: Router, name: str) -> list[str]:
    return [endpoint.name for endpoint in router.http(name).endpoints]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("www.example.cn", ["10.0.0.1:80", "10.0.0.2:80"]),
        ("example.cn", ["10.0.0.3:80"]),
        ("a.b.example.cn", ["10.0.0.3:80"]),
        ("x.www.example.cn", ["10.0.0.3:80"]),
        ("a.below.cn", ["[2001:db8::1]:80"]),
        ("below.cn", ["10.9.9.9:80"]),
        ("other.cn", ["10.9.9.9:80"]),
        ("", ["10.9.9.9:80"]),
    ],
)
def test_the_most_specific_route_counts(path: Path, name: str, expected: list[str]) -> None:
    assert addresses(router(path), name) == expected
    settings = Upstreams.model_validate(
        {"default": {"http": ["10.9.9.9:80"]}, "routes_file": str(path)}
    )
    assert list(map(str, route_of(settings, name)[1].http)) == expected


def test_of_two_routes_for_the_same_names_that_of_the_settings_counts(path: Path) -> None:
    own = {"match": ".example.cn", "upstream": {"http": ["10.8.8.8:80"]}}
    both = router(path, routes=[own])
    assert addresses(both, "a.example.cn") == ["10.8.8.8:80"]
    assert addresses(both, "www.example.cn") == ["10.0.0.1:80", "10.0.0.2:80"]
    settings = Upstreams.model_validate({"routes_file": str(path), "routes": [own]})
    for name, match in (("a.example.cn", ".example.cn"), ("www.example.cn", "www.example.cn")):
        assert route_of(settings, name)[0] == match


@pytest.mark.parametrize("zone", ["no-such-one", "99999999999"])
def test_an_address_on_an_interface_that_is_not_there_is_no_upstream_as_yet(
    tmp_path: Path, zone: str
) -> None:
    file = tmp_path / "routes"
    file.write_text(f"a.cn http=[fe80::1%{zone}]:80\n")
    one = router(file)
    for _ in range(2):  # it is looked for again each time
        with pytest.raises(UpstreamError, match=r"route a\.cn: .*interface"):
            one.http("a.cn")


def test_a_route_has_the_words_of_its_line(path: Path) -> None:
    pool = router(path).http("a.below.cn")
    assert (pool.route, pool.send_proxy) == ("*.below.cn", "v2")
    assert router(path).tls("xn--fsqu00a.cn").endpoints[0].name == "10.0.0.4:443"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a.cn", "no address"),
        ("a.cn http=", "'' is not ADDRESS:PORT"),
        ("a.cn http=10.0.0.1", "'10.0.0.1' is not ADDRESS:PORT"),
        ("a.cn http=10.0.0.1:65536", "is not ADDRESS:PORT"),
        ("a.cn http=origin.cn:80", "does not appear to be an IPv4 or IPv6 address"),
        ("a.cn http=2001:db8::1:80", "stands in brackets"),
        ("a.cn http=10.0.0.1:80 http=10.0.0.2:80", "each once"),
        ("a.cn ftp=10.0.0.1:21", "is none of http="),
        ("a.cn http=10.0.0.1:80 send_proxy=v3", "send_proxy is one of off, v1, v2"),
        ("http://a.cn/ http=10.0.0.1:80", "is a URL"),
        ("a.*.cn http=10.0.0.1:80", "has a * that is not in front"),
        ("a.cn http=10.0.0.1:80\nA.cn. http=10.0.0.2:80", "stands in line 1 already"),
    ],
)
def test_what_is_no_route_is_told_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(BadRoute) as caught:
        list(parse_routes(line.splitlines()))
    assert why in str(caught.value)
    routes, config = tmp_path / "routes", tmp_path / "gate.yaml"
    routes.write_text("\n" + line, encoding="utf-8")
    config.write_text(f"upstreams: {{routes_file: '{routes}'}}\n")
    with pytest.raises(ConfigError) as refused:
        load(config, {})
    assert str(refused.value).startswith(f"{routes}:{caught.value.line + 1}: ")


OCTETS = st.one_of(st.integers(0, 300).map(str), st.sampled_from(["", "01", "1a", " 1"]))
HOSTS = st.lists(OCTETS, min_size=3, max_size=5).map(".".join) | st.sampled_from(["[::1]", "o.cn"])
PORTS = st.integers(0, 70_000).map(str) | st.sampled_from(["", "x", "00080"])
LISTS = st.lists(st.tuples(HOSTS, PORTS).map(":".join), max_size=3).map(",".join)
KINDS = st.sampled_from(["http", "tls", "quic", "ftp", ""])
WORDS = st.tuples(KINDS, LISTS).map("=".join) | st.sampled_from(["send_proxy=v2", "send_proxy=v3"])


@given(st.lists(WORDS, max_size=4), st.sampled_from([" ", "  ", ""]))
def test_what_is_plain_is_told_as_what_is_not(words: list[str], between: str) -> None:
    """The one step for plain pools refuses nothing, and takes nothing that the long way refuses."""
    text = between.join(words).strip()
    try:
        routes_file._check_each(text)
    except ValueError:
        assert not routes_file._is_plain(text)


def test_a_file_that_is_not_there_is_an_error_of_the_settings(tmp_path: Path) -> None:
    config = tmp_path / "gate.yaml"
    config.write_text("upstreams: {routes_file: nowhere}\n")
    with pytest.raises(ConfigError, match="nowhere cannot be read: No such file"):
        load(config, {})


def test_a_folder_holds_the_routes_of_all_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "routes.d"
    folder.mkdir()
    (folder / "b.routes").write_text("b.cn http=10.0.0.2:80\n")
    (folder / "a.routes").write_text(ROUTES, encoding="utf-8")
    (folder / "README").write_text("no route at all\n")
    (folder / ".c.routes").write_text("neither\n")
    both = router(folder)
    assert addresses(both, "b.cn") == ["10.0.0.2:80"]
    assert addresses(both, "example.cn") == ["10.0.0.3:80"]
    settings = Upstreams.model_validate({"routes_file": str(folder)})
    assert route_of(settings, "b.cn")[0] == "b.cn"
    assert route_of(settings, "xn--fsqu00a.cn")[0] == "xn--fsqu00a.cn"
    # What stands in two of them, and what is no route, is told of with its file and line.
    config = tmp_path / "gate.yaml"
    config.write_text(f"upstreams: {{routes_file: '{folder}'}}\n")
    for text, why in (
        (
            b"b.cn http=10.0.0.2:80\nexample.cn http=10.0.0.2:80\n.example.cn http=10.0.0.2:80",
            ":3: ",
        ),
        (b"b.cn http=10.0.0.2:80\n\xff", ":2: upstreams.routes_file: it is not UTF-8"),
    ):
        (folder / "b.routes").write_bytes(text)
        with pytest.raises(ConfigError) as refused:
            load(config, {})
        assert str(refused.value).startswith(f"{folder / 'b.routes'}{why}")
    (folder / "b.routes").unlink()
    assert len(read_routes(folder)[1]) == 4
    (folder / "a.routes").unlink()
    assert read_routes(folder)[1] == {}


ONE_OF_MANY = {
    "as it is": b"www.example.cn http=10.0.0.1:80",
    "in capitals, with a dot": b"  WWW.Example.CN.\thttp=10.0.0.1:80",
    "with a comment, CRLF": b"www.example.cn http=10.0.0.1:80 # one\r",
    "of a domain above": b".example.cn http=10.0.0.1:80",
    "below the top": b"*.cn http=10.0.0.1:80",
    "beside a name in Unicode": "例子.cn tls=10.0.0.9:1\nwww.example.cn http=10.0.0.1:80".encode(),
}


@pytest.mark.parametrize("case", ONE_OF_MANY)
def test_the_route_of_one_name_is_found_without_a_look_at_the_others(
    tmp_path: Path, case: str
) -> None:
    path = tmp_path / "routes"
    others = b"xwww.example.cn nonsense\nwww.example.cnx nonsense\n#www.example.cn nonsense\n"
    path.write_bytes(others + ONE_OF_MANY[case] + b"\nlast.cn nonsense")
    settings = Upstreams.model_validate({"routes_file": str(path)})
    _, pool = route_of(settings, "www.example.cn", strict=True)
    assert list(map(str, pool.http)) == ["10.0.0.1:80"]


def test_who_asks_strictly_hears_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "routes"
    settings = Upstreams.model_validate({"routes_file": str(path)})
    with pytest.raises(FileNotFoundError):
        route_of(settings, "b.cn", strict=True)
    assert route_of(settings, "b.cn")[0] == "default"
    path.write_text("a.cn http=10.0.0.1:80\nb.cn nonsense\n")
    with pytest.raises(BadRoute, match="line 2: 'nonsense'"):
        route_of(settings, "b.cn", strict=True)
    assert [route_of(settings, name)[0] for name in ("a.cn", "b.cn")] == ["a.cn", "default"]


def test_what_is_no_regular_file_is_told_of_and_not_waited_for(tmp_path: Path) -> None:
    """A FIFO has nothing to read until somebody writes: nobody hangs on it."""
    folder = tmp_path / "routes.d"
    (folder / "b.routes").mkdir(parents=True)
    os.mkfifo(folder / "a.routes")
    (folder / "c.routes").write_text("c.cn http=10.0.0.3:80\n")
    config = tmp_path / "gate.yaml"
    config.write_text(f"upstreams: {{routes_file: '{folder}'}}\n")
    settings = load(config, {})
    assert list(read_routes(folder)[1]) == ["c.cn"]
    assert route_of(settings.upstreams, "c.cn")[0] == "c.cn"
    told = [warning for warning in advice(settings) if "regular" in warning]
    assert [f"{folder / name}.routes" in warning for name, warning in zip("ab", told, strict=True)]
    config.write_text(f"upstreams: {{routes_file: '{folder / 'a.routes'}'}}\n")
    with pytest.raises(ConfigError, match="routes cannot be read: it is no regular file"):
        load(config, {})


async def test_a_change_is_taken_and_keeps_what_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(route_file, "_LOOK_SECONDS", 0.01)
    routes = router(path)
    assert routes.file is not None
    stays, goes = routes.http("www.example.cn"), routes.http("example.cn")

    def write(text: str) -> None:
        new = path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(path)

    remove = path.unlink
    following = asyncio.create_task(routes.file.follow())

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(patience(10)):
            while not condition():  # noqa: ASYNC110 (nobody tells of it)
                await asyncio.sleep(0.005)

    def lead(name: str, expected: list[str]) -> Callable[[], bool]:
        return lambda: addresses(routes, name) == expected

    try:
        write(ROUTES.replace("10.0.0.3:80", "10.0.0.33:80"))
        await until(lead("example.cn", ["10.0.0.33:80"]))
        assert routes.http("www.example.cn") is stays
        assert routes.http("example.cn") is not goes
        # What is no route changes nothing; what comes after it does.
        caplog.clear()
        write("a.cn http=nonsense\n")
        await until(lambda: "line 1: 'nonsense' is not ADDRESS:PORT" in caplog.text)
        assert addresses(routes, "example.cn") == ["10.0.0.33:80"]
        remove()
        await until(lambda: "No such file" in caplog.text)
        assert addresses(routes, "example.cn") == ["10.0.0.33:80"]
        write("b.cn http=10.0.0.7:80\n")
        await until(lead("b.cn", ["10.0.0.7:80"]))
        await until(lead("example.cn", ["10.9.9.9:80"]))
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


def test_twenty_thousand_routes_take_little_room(tmp_path: Path) -> None:
    """performance.md: 10 MB a worker. Their text is kept, and no pool before it is used."""
    import tracemalloc

    path = tmp_path / "routes"
    path.write_text(
        "\n".join(
            f"site{n}.example{n % 97}.cn http=10.{n >> 8}.0.{n & 255}:80 tls=10.{n >> 8}.0.1:443"
            for n in range(20_000)
        )
    )
    tracemalloc.start()
    try:
        words = read_routes(path)[1]
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(words) == 20_000
    assert size < 10_000_000
