"""Short ways to file, for tests."""

from __future__ import annotations

from gate.filings import Change
from gate.licence import ServiceKind
from gate.registry import log, queries
from gate.registry.commands import (
    Approve,
    Command,
    FirstFiling,
    NewService,
    Outcome,
    ServiceData,
    SubjectData,
)
from gate.registry.errors import RegistryError
from gate.registry.registry import LOCAL, Registry


def do(registry: Registry, command: Command) -> Outcome:
    """Carry out a command as the local administrator."""
    return registry.perform(command, actor=LOCAL)[0]


def refused(registry: Registry, command: Command) -> RegistryError:
    """The refusal of a command; the log must not move."""
    before = registry.head()
    try:
        done = do(registry, command)
    except RegistryError as error:
        assert registry.head() == before
        return error
    raise AssertionError(f"it was not refused: {done}")


def first_filing(
    *domains: str,
    account: str = "a1",
    name: str = "某某网络公司",
    province: str = "鲁",
    kind: ServiceKind = ServiceKind.WEBSITE,
    certificate: str | None = None,
) -> FirstFiling:
    """An application for a first filing."""
    return FirstFiling(
        account=account,
        province=province,
        subject=SubjectData(name=name, certificate=certificate),
        service=ServiceData(name="网站", kind=kind, domains=domains),
    )


def new_service(
    *domains: str,
    account: str = "a1",
    licence: str = "鲁ICP备09090609号",
    subject: SubjectData | None = None,
    kind: ServiceKind = ServiceKind.WEBSITE,
) -> NewService:
    """An application for a new service."""
    data = ServiceData(name="网站", kind=kind, domains=domains)
    return NewService(account=account, licence=licence, subject=subject, service=data)


def file_first(registry: Registry, *domains: str, licence: str = "鲁ICP备09090609号-1") -> str:
    """A first filing, approved; gives back its service number."""
    outcome = do(registry, first_filing(*domains))
    assert outcome.application is not None
    return str(do(registry, Approve(application=outcome.application, licence=licence)).licence)


def file_another(registry: Registry, *domains: str, licence: str = "鲁ICP备09090609号") -> str:
    """A new service of the subject, approved; gives back its number."""
    outcome = do(registry, new_service(*domains, licence=licence))
    assert outcome.application is not None
    return str(do(registry, Approve(application=outcome.application, generate=True)).licence)


def status(registry: Registry, domain: str) -> str:
    """A domain's status on record."""
    with registry.database.read() as connection:
        return queries.filing(connection, domain).status


def changes(registry: Registry, since: int = 0) -> list[Change]:
    """What the log holds after a revision."""
    with registry.database.read() as connection:
        return log.read_after(connection, since, limit=1_000_000)
