"""Which upstream a name goes to, and how pools pass over endpoints that rest."""

from __future__ import annotations

import pytest

from gate.proxy.upstream import OriginEndpoint, Pool, Router, UpstreamError
from gate.settings import Address, Route, UpstreamPool, Upstreams, route_of


def pool(port: int) -> UpstreamPool:
    address = Address(host="127.0.0.1", port=port)
    return UpstreamPool(http=(address,), tls=(address,))


UPSTREAMS = Upstreams(
    default=pool(1),
    routes=(
        Route(match="example.cn", upstream=pool(2)),
        Route(match=".example.cn", upstream=pool(3)),
        Route(match="*.deep.example.cn", upstream=pool(4)),
        Route(match="Exact.Example.com", upstream=pool(5)),
        Route(match=".both.cn", upstream=pool(6)),
        Route(match="*.both.cn", upstream=pool(7)),
        Route(match=".例子.中国.", upstream=pool(8)),
        Route(match="127.1", upstream=pool(9)),
        Route(match="[2001:DB8::1]", upstream=pool(10)),
    ),
)


def router() -> Router:
    return Router(UPSTREAMS)


@pytest.mark.parametrize(
    ("name", "port"),
    [
        ("other.com", 1),
        ("", 1),
        ("example.cn", 2),
        ("www.example.cn", 3),
        ("a.b.example.cn", 3),
        ("deep.example.cn", 3),  # `*.` is for what is below alone
        ("x.deep.example.cn", 4),
        ("notexample.cn", 1),
        ("exact.example.com", 5),
        ("www.exact.example.com", 1),
        ("both.cn", 6),
        ("a.both.cn", 7),
        ("xn--fsqu00a.xn--fiqs8s", 8),  # `.` is for the domain and all below
        ("a.b.xn--fsqu00a.xn--fiqs8s", 8),
        ("xn--fiqs8s", 1),
        ("127.0.0.1", 9),
        ("[2001:db8::1]", 10),
    ],
)
def test_the_most_specific_route_wins(name: str, port: int) -> None:
    for chosen in (router().http(name), router().tls(name)):
        assert [endpoint.name for endpoint in chosen.endpoints] == [f"127.0.0.1:{port}"]
    # What `gate check` says of it.
    match, told = route_of(UPSTREAMS, name)
    assert (match, told) == (router().route(name), pool(port))


def test_a_route_without_an_address_says_what_to_add() -> None:
    with pytest.raises(UpstreamError, match=r"no tls upstream for example\.cn.*upstreams\.default"):
        Router(Upstreams(default=UpstreamPool(http=(Address(host="127.0.0.1", port=1),)))).tls(
            "example.cn"
        )


def test_routes_to_one_address_share_its_health() -> None:
    shared = Router(
        Upstreams(default=pool(1), routes=(Route(match="example.cn", upstream=pool(1)),))
    )
    assert shared.http("example.cn").endpoints[0] is shared.http("other.cn").endpoints[0]


def three() -> tuple[Pool, list[OriginEndpoint]]:
    endpoints = [OriginEndpoint(Address(host="127.0.0.1", port=port)) for port in (1, 2, 3)]
    return Pool(endpoints, "off"), endpoints


def test_endpoints_take_turns() -> None:
    chosen, endpoints = three()
    assert [chosen.pick(0.0) for _ in range(6)] == endpoints * 2


def test_a_failed_endpoint_rests_and_comes_back() -> None:
    chosen, (one, two, other) = three()
    two.failed(now=100.0, rest_seconds=5.0)
    assert [chosen.pick(101.0) for _ in range(3)] == [one, other, other]
    assert two in [chosen.pick(105.0) for _ in range(3)]
    assert two.failures == 1


def test_if_all_rest_the_one_that_is_up_soonest_is_tried() -> None:
    chosen, endpoints = three()
    for endpoint, rest in zip(endpoints, (9.0, 3.0, 6.0), strict=True):
        endpoint.failed(now=0.0, rest_seconds=rest)
    assert chosen.pick(1.0) is endpoints[1]
