"""The registry over HTTP, for the command line: blocking, one request after the other."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from gate.registry.bulk.files import FileFormat
from gate.registry.commands import Command, Outcome, Role
from gate.registry.errors import RegistryFailure
from gate.registry.gates import GateInForce, GateStanding
from gate.registry.import_modes import ImportMode
from gate.registry.orders.commands import OrderStep, Step
from gate.registry.orders.rule_texts import Finding
from gate.registry.orders.views import (
    EventView,
    OrderAfterStep,
    OrderQuery,
    OrderSummary,
    OrderTaken,
    OrderView,
)
from gate.registry.sightings.views import (
    BlockedMatch,
    HollowSubject,
    IdleFiling,
    NetworkOwner,
    NetworkOwners,
    Watch,
)
from gate.registry.unfiled import UnfiledQuery, UnfiledView
from gate.registry.views import (
    ApplicationView,
    AuditView,
    FilingView,
    FleetOverrideView,
    HeadView,
    HistoryView,
    ImportView,
    PreviewView,
    RefusalView,
    SubjectDetail,
    TokenView,
)

TIMEOUT: Final = 60
_MEDIA: Final = {
    FileFormat.CSV: "text/csv",
    FileFormat.NDJSON: "application/x-ndjson",
    None: "application/octet-stream",
}
_PIECE: Final = 1 << 18


class RemoteError(RegistryFailure):
    """The registry refused, with its Chinese and English text, or could not be reached."""

    def __init__(self, en: str, zh: str = "", code: str = "") -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh
        self.code = code


class Remote:
    """A registry behind a URL."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        """`ca` is the CA of an https registry, `certificate` and `key` what to show it.

        Raises RemoteError for a URL that is none, or files that can't be used.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RemoteError(f"{url!r} is not a URL of a registry, like http://127.0.0.1:9465")
        self._url = url.rstrip("/")
        self._token = token
        self._host = parts.hostname
        self._port = parts.port
        self._base = parts.path.rstrip("/")
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=ca)
                if certificate is not None:
                    self._tls.load_cert_chain(certificate, key)
            except OSError as error:
                files = ", ".join(str(path) for path in (ca, certificate, key) if path)
                raise RemoteError(f"{files} can't be used: {error}") from error

    def preview(self, command: Command) -> Outcome:
        """Return what an operation would do."""
        return self.perform(command, dry_run=True)

    def perform(self, command: Command, *, dry_run: bool = False) -> Outcome:
        """Carry out an operation."""
        path = f"/v1/operations/{command.operation.replace('_', '-')}"
        if dry_run:
            path += "?dry_run=true"
        body = command.model_dump_json(exclude_none=True).encode()
        return Outcome.model_validate(self._json("POST", path, body=body))

    def step(self, step: Step) -> OrderView | OrderTaken:
        """Take a step of an order; the order after it, or its state alone."""
        path = "/v1/orders"
        if isinstance(step, OrderStep):
            path += f"/{step.order}/{step.way}"
        body = step.model_dump_json(exclude={"order"}, exclude_none=True)
        empty = isinstance(step, OrderStep) and len(type(step).model_fields) == 1
        sent = None if empty else body.encode()
        return OrderAfterStep.model_validate(self._json("POST", path, body=sent)).root

    def order(self, number: int) -> OrderView:
        """Return one order."""
        return OrderView.model_validate(self._json("GET", f"/v1/orders/{number}"))

    def check_order(self, number: int) -> list[Finding]:
        """Return what the rules find in an order now."""
        found = self._json("GET", f"/v1/orders/{number}/check")
        return [Finding.model_validate(item) for item in found["items"]]

    def orders(self, query: OrderQuery, *, limit: int) -> Iterator[OrderSummary]:
        """Yield orders that fit, the newest first, up to `limit`."""
        given = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in asdict(query).items()
            if value is not None
        }
        for item in self._pages("/v1/orders", given, limit):
            yield OrderSummary.model_validate(item)

    def order_events(self, number: int) -> Iterator[EventView]:
        """Yield what happened to an order, in order."""
        for item in self._pages(f"/v1/orders/{number}/events", {}, None):
            yield EventView.model_validate(item)

    def gates(self) -> list[GateStanding]:
        """Return the gates, and how far each is behind."""
        return [
            GateStanding.model_validate(item) for item in self._json("GET", "/v1/gates")["gates"]
        ]

    def in_force(self, revision: int, wait: float) -> tuple[list[GateInForce], int]:
        """Return the gates that enforce a revision, and how many are known.

        Waits up to `wait` seconds.
        """
        query = urlencode({"revision": revision, "wait": f"{min(wait, 50):g}"})
        found = self._json("GET", f"/v1/in-force?{query}")
        return [GateInForce.model_validate(item) for item in found["gates"]], int(found["known"])

    def filing(self, domain: str) -> FilingView:
        """Return the record of a domain."""
        return FilingView.model_validate(self._json("GET", f"/v1/filings/{quote(domain, safe='')}"))

    def history(self, domain: str) -> HistoryView:
        """Return what became of a domain."""
        path = f"/v1/filings/{quote(domain, safe='')}/history"
        return HistoryView.model_validate(self._json("GET", path))

    def audit(self, text: str | None, *, limit: int) -> Iterator[AuditView]:
        """Yield lines of the audit trail, the newest first, up to `limit`."""
        query = {"newest": "true"} | ({} if text is None else {"q": text})
        for item in self._pages("/v1/audit", query, limit):
            yield AuditView.model_validate(item)

    def overrides(self) -> list[FleetOverrideView]:
        """Return what operators decided for every gate."""
        found = self._json("GET", "/v1/overrides")["items"]
        return [FleetOverrideView.model_validate(item) for item in found]

    def subject(self, licence: str) -> SubjectDetail:
        """Return a subject with its services."""
        path = f"/v1/subjects/{quote(licence, safe='')}"
        return SubjectDetail.model_validate(self._json("GET", path))

    def search(self, *, limit: int, **query: str | None) -> Iterator[FilingView]:
        """Filings that fit, up to `limit`."""
        given = {key: value for key, value in query.items() if value is not None}
        for item in self._pages("/v1/filings", given, limit):
            yield FilingView.model_validate(item)

    def applications(self, *, limit: int, state: str | None) -> Iterator[ApplicationView]:
        """Applications, up to `limit`."""
        query = {} if state is None else {"state": state}
        for item in self._pages("/v1/applications", query, limit):
            yield ApplicationView.model_validate(item)

    def head(self) -> HeadView:
        """Return where the log stands."""
        return HeadView.model_validate(self._json("GET", "/v1/head"))

    def accept_set(self, reason: str) -> None:
        """Have the set given out as it is, although it has shrunk."""
        body = json.dumps({"reason": reason}).encode()
        self._json("POST", "/v1/snapshot/accept", body=body)

    def import_file(
        self,
        path: Path,
        said: FileFormat | None = None,
        *,
        mode: ImportMode = ImportMode.ADD,
        max_shrink: float = 0.1,
        registrable: bool = False,
        pause: float = 0.5,
    ) -> Iterator[ImportView]:
        """Upload a file, and follow its import; the registry finds out what it is."""
        query = {"mode": mode.value, "max_shrink": f"{max_shrink}"}
        state = ImportView.model_validate(self._upload(path, said, registrable, query))
        yield state
        while state.state == "running":
            time.sleep(pause)
            state = self.import_state(state.digest)
            yield state

    def preview_import(
        self,
        path: Path,
        said: FileFormat | None = None,
        *,
        mode: ImportMode,
        registrable: bool = False,
    ) -> PreviewView:
        """Return what an import would do."""
        query = {"mode": mode.value, "dry_run": "true"}
        return PreviewView.model_validate(self._upload(path, said, registrable, query))

    def _upload(
        self, path: Path, said: FileFormat | None, registrable: bool, query: dict[str, str]
    ) -> Any:
        if registrable:
            query = query | {"registrable": "true"}
        target = "/v1/imports?" + urlencode({"name": path.name} | query)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            headers = {"Content-Type": _MEDIA[said], "Content-Length": str(size)}
            with self._request("POST", target, file, headers) as response:
                return json.load(response)

    def import_state(self, digest: str) -> ImportView:
        """Return how far an import is."""
        return ImportView.model_validate(self._json("GET", f"/v1/imports/{digest}"))

    def refusals(self, digest: str) -> Iterator[RefusalView]:
        """Yield the lines that an import refused."""
        for item in self._pages(f"/v1/imports/{digest}/refusals", {}, None):
            yield RefusalView.model_validate(item)

    def export(self, form: FileFormat) -> Generator[bytes]:
        """Yield every filing, in pieces."""
        with self._request("GET", f"/v1/export?format={form}") as response:
            while piece := response.read(_PIECE):
                yield piece

    def blocked(
        self, account: str | None, domain: str | None = None, *, limit: int | None
    ) -> Iterator[BlockedMatch]:
        """Yield blocked domains that seem an account's; only one, with `domain`."""
        asked = {"account": account, "domain": domain}
        query = {name: text for name, text in asked.items() if text is not None}
        for item in self._pages("/v1/blocked", query, limit):
            yield BlockedMatch.model_validate(item)

    def idle(self, days: int | None, *, limit: int) -> tuple[Watch, list[IdleFiling]]:
        """Return how far the gates' word on traffic goes, and filed domains without any."""
        query = {"limit": str(limit)} | ({} if days is None else {"days": str(days)})
        found = self._json("GET", "/v1/idle?" + urlencode(query))
        rows = [IdleFiling.model_validate(item) for item in found["items"]]
        return Watch.model_validate(found["watch"]), rows

    def hollow(self, *, limit: int | None) -> Iterator[HollowSubject]:
        """Yield subjects without services."""
        for item in self._pages("/v1/hollow", {}, limit):
            yield HollowSubject.model_validate(item)

    def put_networks(self, owners: Sequence[NetworkOwner]) -> None:
        """Say whose hosts are in which networks."""
        body = NetworkOwners(networks=tuple(owners))
        headers = {"Content-Type": "application/json"}
        with self._request("PUT", "/v1/networks", body.model_dump_json().encode(), headers):
            pass

    def networks(self, *, limit: int | None) -> Iterator[NetworkOwner]:
        """Yield whose hosts are in which networks."""
        for item in self._pages("/v1/networks", {}, limit):
            yield NetworkOwner.model_validate(item)

    def unfiled(self, query: UnfiledQuery, *, limit: int | None) -> Iterator[UnfiledView]:
        """Blocked names that gates report, up to `limit`."""
        given = query.model_dump(mode="json", exclude_none=True)
        for item in self._pages("/v1/reports/unfiled", given, limit):
            yield UnfiledView.model_validate(item)

    def make_token(
        self, *, name: str, role: Role, lifetime: int | None, account: str | None = None
    ) -> tuple[TokenView, str]:
        """Make a token; gives back what is known of it, and its text."""
        body = {"name": name, "role": role.value, "lifetime": lifetime, "account": account}
        made = self._json("POST", "/v1/tokens", body=json.dumps(body).encode())
        return TokenView.model_validate(made["info"]), str(made["token"])

    def tokens(self) -> list[TokenView]:
        """Return all tokens."""
        return [TokenView.model_validate(item) for item in self._json("GET", "/v1/tokens")["items"]]

    def revoke_token(self, token: str) -> None:
        """End a token."""
        with self._request("DELETE", f"/v1/tokens/{quote(token, safe='')}"):
            pass

    def close(self) -> None:
        """Nothing is kept open."""

    def _pages(self, path: str, query: dict[str, Any], limit: int | None) -> Iterator[Any]:
        left = limit
        cursor: str | None = None
        while left is None or left > 0:
            size = 1000 if left is None else min(left, 1000)
            asked = {**query, "limit": str(size)} | ({"cursor": cursor} if cursor else {})
            page = self._json("GET", f"{path}?{urlencode(asked)}")
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return
            left = None if left is None else left - len(page["items"])

    def _json(self, method: str, path: str, *, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        with self._request(method, path, body, headers) as response:
            return json.load(response)

    @contextmanager
    def _request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """One request; the answer, if it is a good one. Raises RemoteError."""
        connection: http.client.HTTPConnection
        if self._tls is not None:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=TIMEOUT, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        sent = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        try:
            connection.request(method, self._base + path, body, sent | (headers or {}))
            response = connection.getresponse()
            if response.status >= 400:
                raise _refusal(response)
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise RemoteError(
                f"the registry at {self._url} can't be reached: {error}; is it running?"
            ) from error
        finally:
            connection.close()


def _refusal(response: http.client.HTTPResponse) -> RemoteError:
    try:
        problem = json.loads(response.read(1 << 16))
        return RemoteError(str(problem["en"]), str(problem["zh"]), str(problem["code"]))
    except (ValueError, KeyError, TypeError):
        return RemoteError(f"the registry answered {response.status} {response.reason}")
