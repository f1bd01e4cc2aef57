"""Which upstream a name goes to, and how pools pass over endpoints that rest."""

from __future__ import annotations

import pytest

from gate.proxy.upstream import Endpoint, Pool, Router, UpstreamError
from gate.settings import Address, Route, UpstreamPool, Upstreams


def pool(port: int) -> UpstreamPool:
    address = Address(host="127.0.0.1", port=port)
    return UpstreamPool(http=(address,), tls=(address,))


def router() -> Router:
    return Router(
        Upstreams(
            default=pool(1),
            routes=(
                Route(match="example.cn", upstream=pool(2)),
                Route(match=".example.cn", upstream=pool(3)),
                Route(match=".deep.example.cn", upstream=pool(4)),
                Route(match="Exact.Example.com", upstream=pool(5)),
            ),
        )
    )


@pytest.mark.parametrize(
    ("name", "port"),
    [
        ("other.com", 1),
        ("", 1),
        ("example.cn", 2),
        ("www.example.cn", 3),
        ("a.b.example.cn", 3),
        ("deep.example.cn", 3),
        ("x.deep.example.cn", 4),
        ("notexample.cn", 1),
        ("exact.example.com", 5),
        ("www.exact.example.com", 1),
    ],
)
def test_the_most_specific_route_wins(name: str, port: int) -> None:
    for chosen in (router().http(name), router().tls(name)):
        assert [endpoint.name for endpoint in chosen.endpoints] == [f"127.0.0.1:{port}"]


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


def three() -> tuple[Pool, list[Endpoint]]:
    endpoints = [Endpoint(Address(host="127.0.0.1", port=port)) for port in (1, 2, 3)]
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
