"""The workloads: each one a function from a running server to a checked sample.

Every function counts on both sides: what the generator saw, and what reached the upstream. A
mismatch raises BenchError and the round does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from . import dataset
from .bench import Bench, Sample
from .hello import Answer, client_hello
from .http_load import POST_SIZE, REFUSED_PATH, HttpResult, answer_to, request
from .origin import CHUNKED, CHUNKED_SIZE, LARGE, LARGE_SIZE, SMALL_BODY
from .process import BenchError, NotOffered
from .servers import Running, Variant
from .visits import Kind, Outcome, Visit

SHORT = 1000
BULK_TUNNELS = 4
BULK_MIB = 256
WRK_SECONDS = 2.0


@dataclass(slots=True, frozen=True)
class Workload:
    """One row of the table. CPU per unit is shown in `scale` (1e6 for microseconds)."""

    name: str
    title: str
    unit: str
    run: Callable[[Bench, Running], Sample]
    prepare: Callable[[Bench], None]
    variant: Variant = Variant.KEEP
    scale: float = 1e6
    target: float | None = None
    floored: bool = True
    """The floor takes part."""


def _visit_sample(bench: Bench, running: Running, label: str, count: int) -> tuple[Sample, Outcome]:
    count = max(64, int(count * bench.scale))
    cpu, worker = running.cpu(), running.worker_cpu()
    outcome = bench.run_visits(running, bench.visits(label), count)
    sample = Sample(
        sum(outcome.done),
        running.cpu() - cpu,
        running.worker_cpu() - worker,
        outcome.seconds,
        {"generator_busy": outcome.cpu / outcome.seconds},
    )
    return sample, outcome


def refused(label: str, count: int) -> Callable[[Bench, Running], Sample]:
    def run(bench: Bench, running: Running) -> Sample:
        before = bench.origins.counters.read()
        sample, outcome = _visit_sample(bench, running, label, count)
        if (bench.origins.counters.read() - before).connections:
            raise BenchError(f"{running.name}: an unfiled name reached the upstream")
        sample.extra["resets"] = outcome.resets / sample.units
        return sample

    return run


def prepare_refused(bench: Bench) -> None:
    hellos = bench.skewed_hellos(bench.unfiled, Answer.REFUSED, 0)
    known: dict[str, Visit] = {}
    for host, hello in hellos:
        if host not in known:
            known[host] = Visit(Kind.REFUSED, hello)
    bench.visits("tls-reset", [known[host] for host, _ in hellos])


def _prepare_flood(bench: Bench) -> None:
    hosts = dataset.unfiled_hosts(80_000, bench.listed)
    hellos = [client_hello(host, Answer.REFUSED, 0) for host in hosts]
    bench.visits("tls-reset-flood", [Visit(Kind.REFUSED, hello) for hello in hellos])


def short_visits(bench: Bench, *, post_quantum: bool = False) -> list[Visit]:
    known: dict[str, Visit] = {}
    drawn = dataset.skewed(bench.filed, 50_000)
    for host in drawn:
        if host not in known:
            hello = client_hello(host, Answer.SHORT, SHORT, post_quantum=post_quantum)
            known[host] = Visit(Kind.ANSWERED, hello, SHORT)
    return [known[host] for host in drawn]


def _short(label: str) -> Callable[[Bench, Running], Sample]:
    def run(bench: Bench, running: Running) -> Sample:
        before = bench.origins.counters.read()
        sample, _ = _visit_sample(bench, running, label, 25_000)
        seen = bench.origins.counters.read() - before
        if seen.short != sample.units or seen.strange:
            raise BenchError(f"{running.name}: {seen} for {sample.units} visits")
        return sample

    return run


def _bulk(bench: Bench, running: Running) -> Sample:
    before = bench.origins.counters.read()
    cpu, worker = running.cpu(), running.worker_cpu()
    rounds = max(1, int(bench.scale + 0.5))
    outcome = bench.run_visits(running, bench.visits("tls-bulk"), BULK_TUNNELS * rounds)
    sample = Sample(
        outcome.bytes / 1e9,
        running.cpu() - cpu,
        running.worker_cpu() - worker,
        outcome.seconds,
    )
    seen = bench.origins.counters.read() - before
    if seen.bulk_bytes != outcome.bytes:
        raise BenchError(f"{running.name}: {outcome.bytes} bytes of {seen.bulk_bytes} arrived")
    return sample


def _prepare_bulk(bench: Bench) -> None:
    visits = [
        Visit(Kind.BULK, client_hello(host, Answer.BULK, BULK_MIB), BULK_MIB << 20)
        for host in bench.filed[:BULK_TUNNELS]
    ]
    bench.visits("tls-bulk", visits)


# -- HTTP --


def probe(running: Running, sent: bytes) -> tuple[int, dict[str, str], int]:
    """One request by hand: status, fields in lower case, size of the whole answer."""
    try:
        return answer_to((running.setup.place.dialled, running.setup.http_port), sent)
    except BenchError as error:
        raise BenchError(f"{running.name}: {error}") from error


def _http_sample(bench: Bench, running: Running, label: str) -> tuple[Sample, HttpResult]:
    cpu, worker = running.cpu(), running.worker_cpu()
    # more connections take longer to open, which is not what is asked
    seconds = WRK_SECONDS + bench.concurrency / 1000
    result = bench.run_http(running, bench.requests(label), seconds)
    sample = Sample(
        result.requests,
        running.cpu() - cpu,
        running.worker_cpu() - worker,
        result.seconds,
        {"p50_us": result.p50_us, "p99_us": result.p99_us},
    )
    return sample, result


def _redirected(label: str, close: bool) -> Callable[[Bench, Running], Sample]:
    def run(bench: Bench, running: Running) -> Sample:
        host = bench.unfiled[0]
        status, fields, size = probe(running, request(host))
        closes = fields.get("connection", "").lower() == "close"
        if status != 302 or fields.get("cache-control") != "no-store":
            raise BenchError(f"{running.name}: not a redirect to the notice: {status} {fields}")
        if closes != close:
            raise NotOffered(f"{'closes' if closes else 'keeps'} the connection after a redirect")
        before = bench.origins.http_requests()
        sample, result = _http_sample(bench, running, label)
        if bench.origins.http_requests() != before:
            raise BenchError(f"{running.name}: an unfiled name reached the upstream")
        if not 0.6 < result.bytes / result.requests / size < 1.4:
            raise BenchError(f"{running.name}: answers unlike the redirect of {size} bytes")
        return sample

    return run


def _prepare_redirected(label: str) -> Callable[[Bench], None]:
    return lambda bench: void(bench.requests(label, bench.skewed_requests(bench.unfiled)))


def void(_: object) -> None:
    """Drop a value that a preparation gives."""


def _filed(label: str, path: str, body_size: int) -> Callable[[Bench, Running], Sample]:
    def run(bench: Bench, running: Running) -> Sample:
        status, _, size = probe(running, request(bench.filed[0], path))
        if status != 200 or size < body_size:
            raise BenchError(f"{running.name}: {status} with {size} bytes for a filed name")
        before = bench.origins.http_requests()
        sample, result = _http_sample(bench, running, label)
        seen = bench.origins.http_requests() - before
        if not 0 <= seen - sample.units <= 2 * bench.concurrency:
            raise BenchError(f"{running.name}: {seen} upstream for {sample.units} requests")
        if result.bytes / result.requests < body_size:
            raise BenchError(f"{running.name}: short answers")
        return sample

    return run


def _prepare_unique(bench: Bench) -> None:
    hosts = dataset.skewed(bench.filed, 60_000)
    bench.requests("http-filed-unique", [request(host, serial=n) for n, host in enumerate(hosts)])


def _post(bench: Bench, running: Running) -> Sample:
    before = bench.origins.counters.read()
    sample, _ = _http_sample(bench, running, "http-post")
    deadline = time.monotonic() + 5
    while True:
        seen = bench.origins.counters.read() - before
        if seen.posts >= sample.units or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    if not 0 <= seen.posts - sample.units <= 2 * bench.concurrency:
        raise BenchError(f"{running.name}: {seen.posts} posts upstream for {sample.units}")
    if seen.post_bytes < sample.units * POST_SIZE:
        raise BenchError(f"{running.name}: {seen.post_bytes} bytes upstream")
    return sample


def _prepare_post(bench: Bench) -> None:
    body = bytes(range(32, 127)) * (POST_SIZE // 95 + 1)
    bench.requests(
        "http-post", [request(host, "/upload", body=body[:POST_SIZE]) for host in bench.filed[:4]]
    )


def _filed_requests(label: str, path: str = "", *, close: bool = False) -> Callable[[Bench], None]:
    return lambda bench: void(
        bench.requests(label, bench.skewed_requests(bench.filed, path, close=close))
    )


# -- everything at once --


def _prepare_mixed(bench: Bench) -> None:
    """70 % TLS, 5 % of the names unfiled; three requests on each HTTP connection of a filed one."""
    filed = short_visits(bench)
    filed_pq = short_visits(bench, post_quantum=True)
    hellos = bench.skewed_hellos(bench.unfiled, Answer.REFUSED, 0)
    filed_http = bench.skewed_requests(bench.filed)
    unfiled_http = bench.skewed_requests(bench.unfiled, REFUSED_PATH)
    visits: list[Visit] = []
    for number in range(40_000):
        tls, unfiled = number % 10 < 7, number // 10 % 20 == 0
        if tls and unfiled:
            visits.append(Visit(Kind.REFUSED, hellos[number][1]))
        elif tls:
            visits.append((filed_pq if number % 2 else filed)[number])
        elif unfiled:
            visits.append(Visit(Kind.REDIRECTED, unfiled_http[number]))
        else:
            visits.append(Visit(Kind.SERVED, filed_http[number], len(SMALL_BODY), 3))
    bench.visits("mixed", visits)


def _mixed(bench: Bench, running: Running) -> Sample:
    before, requests = bench.origins.counters.read(), bench.origins.http_requests()
    sample, outcome = _visit_sample(bench, running, "mixed", 25_000)
    seen = bench.origins.counters.read() - before
    served = bench.origins.http_requests() - requests
    if seen.short != outcome.done[Kind.ANSWERED] or served != 3 * outcome.done[Kind.SERVED]:
        raise BenchError(f"{running.name}: {seen}, {served} requests upstream: {outcome.done}")
    return sample


def _short_prepare(label: str, *, post_quantum: bool = False) -> Callable[[Bench], None]:
    return lambda bench: void(bench.visits(label, short_visits(bench, post_quantum=post_quantum)))


WORKLOADS: tuple[Workload, ...] = (
    Workload(
        "tls-reset", "TLS, unfiled: refuse", "connection",
        refused("tls-reset", 60_000), prepare_refused, target=0.85,
    ),
    Workload(
        "tls-reset-flood", "TLS, unfiled, every name new", "connection",
        refused("tls-reset-flood", 60_000), _prepare_flood, target=0.85,
    ),
    Workload(
        "tls-short", "TLS, filed: pass 1 kB", "connection",
        _short("tls-short"), _short_prepare("tls-short"),
    ),
    Workload(
        "tls-short-pq", "TLS, filed, post-quantum hello: pass 1 kB", "connection",
        _short("tls-short-pq"), _short_prepare("tls-short-pq", post_quantum=True),
    ),
    Workload(
        "tls-short-half-close", "TLS, filed: pass 1 kB, half-close promised", "connection",
        _short("tls-short-half-close"), _short_prepare("tls-short-half-close"), Variant.HALF,
        target=0.95,
    ),
    Workload(
        "tls-bulk", "TLS, filed: bulk through 4 tunnels", "GB",
        _bulk, _prepare_bulk, scale=1.0, target=0.45,
    ),
    Workload(
        "http-redirect", "HTTP, unfiled: 302, kept alive", "request",
        _redirected("http-redirect", close=False), _prepare_redirected("http-redirect"),
        target=1.0, floored=False,
    ),
    Workload(
        "http-redirect-close", "HTTP, unfiled: 302 and close", "request",
        _redirected("http-redirect-close", close=True),
        _prepare_redirected("http-redirect-close"), Variant.CLOSE, target=0.80,
    ),
    Workload(
        "http-filed", "HTTP, filed, kept alive, 36 bytes", "request",
        _filed("http-filed", "/", len(SMALL_BODY)), _filed_requests("http-filed"), target=0.75,
    ),
    Workload(
        "http-filed-unique", "HTTP, filed, kept alive, every request new", "request",
        _filed("http-filed-unique", "/", len(SMALL_BODY)), _prepare_unique, target=0.75,
    ),
    Workload(
        "http-64k", "HTTP, filed, kept alive, 64 KiB", "request",
        _filed("http-64k", LARGE, LARGE_SIZE), _filed_requests("http-64k", LARGE), target=0.85,
    ),
    Workload(
        "http-chunked", "HTTP, filed, kept alive, 16 KiB in chunks", "request",
        _filed("http-chunked", CHUNKED, CHUNKED_SIZE), _filed_requests("http-chunked", CHUNKED),
        target=0.85,
    ),
    Workload(
        "http-post", "HTTP, filed: POST of 1 MiB", "request",
        _post, _prepare_post, Variant.SINK, target=0.70,
    ),
    Workload(
        "http-connect", "HTTP, filed, a connection for each request", "request",
        _filed("http-connect", "/", len(SMALL_BODY)),
        _filed_requests("http-connect", close=True), target=0.70,
    ),
    Workload(
        "mixed", "Mixed: 70 % TLS, 5 % unfiled, skewed names", "connection",
        _mixed, _prepare_mixed, target=0.85,
    ),
)  # fmt: skip
