"""Random operations against a model that a person can read.

The model knows a domain's holder, and nothing of tables; whatever the operations were, the
registry, its log and the model agree about every domain.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gate.filings import Status
from gate.registry import log
from gate.registry.bulk.importing import import_file
from gate.registry.commands import (
    AccessFiling,
    Approve,
    CancelAccess,
    CancelService,
    CancelSubject,
    ChangeService,
    ChangeSubject,
    Command,
    Outcome,
    Reject,
    Resume,
    Suspend,
)
from gate.registry.errors import RegistryError
from gate.registry.import_modes import ImportMode
from gate.registry.registry import LOCAL, Registry
from gate.registry.verifying import verify
from tests.harness.examples import examples
from tests.harness.new_registry import migrated
from tests.registry.filings import first_filing, new_service

DOMAINS = [f"d{number}.cn" for number in range(6)]
ACCOUNTS = [f"a{number}" for number in range(3)]
NUMBERS = [f"鲁ICP备0000000{number}号" for number in range(4)]

domains = st.sampled_from(DOMAINS)
accounts = st.sampled_from(ACCOUNTS)
numbers = st.sampled_from(NUMBERS)
sites = st.integers(1, 4)


@dataclass
class Site:
    """A service as the model sees it."""

    subject: str
    site: int
    access: bool = True
    suspended: bool = False

    @property
    def status(self) -> Status:
        if self.suspended:
            return Status.SUSPENDED
        return Status.FILED if self.access else Status.FILED_ELSEWHERE


@dataclass
class Model:
    """The filed set: services by domain, and the accounts of subjects.

    A service that was imported has several domains; they share its `Site`.
    """

    sites: dict[str, Site] = field(default_factory=dict)
    accounts: dict[str, str | None] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    """Domains that were on record once, and are not now."""

    def remove(self, domain: str) -> None:
        if self.sites.pop(domain, None) is not None:
            self.gone.add(domain)

    def of(self, site: Site) -> set[str]:
        return {domain for domain, its in self.sites.items() if its is site}

    def put(self, domain: str, site: Site) -> None:
        self.sites[domain] = site
        self.gone.discard(domain)

    def at(self, subject: str, site: int) -> Site | None:
        found = [s for s in self.sites.values() if (s.subject, s.site) == (subject, site)]
        return found[0] if found else None


class Filing(RuleBasedStateMachine):
    """Operations, right and wrong ones, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = migrated(str(Path(self.folder.name) / "registry.db"))
        self.registry = Registry(self.database)
        self.model = Model()
        self.waiting: dict[int, tuple[str, str, str | None]] = {}
        self.files = 0

    def teardown(self) -> None:
        with self.database.read() as connection:
            assert list(verify(connection, "gate")) == []
        self.database.close()
        self.folder.cleanup()

    def do(self, command: Command) -> Outcome | None:
        """The outcome, or None for a refusal, which leaves the log alone."""
        before = self.registry.head()
        try:
            return self.registry.perform(command, actor=LOCAL)[0]
        except RegistryError:
            assert self.registry.head() == before
            return None

    def reserved(self, domain: str) -> bool:
        return any(domain == waiting[0] for waiting in self.waiting.values())

    @rule(domain=domains, account=accounts)
    def apply_first(self, domain: str, account: str) -> None:
        """A first filing is taken if domain and account are free."""
        done = self.do(first_filing(domain, account=account))
        free = (
            domain not in self.model.sites
            and not self.reserved(domain)
            and account not in self.model.accounts.values()
            and not any(w[1] == account and w[2] is None for w in self.waiting.values())
        )
        assert (done is not None) == free
        if done is not None and done.application is not None:
            self.waiting[done.application] = (domain, account, None)

    @rule(domain=domains, account=accounts, number=numbers)
    def apply_another(self, domain: str, account: str, number: str) -> None:
        """A new service is taken for the account's own subject."""
        done = self.do(new_service(domain, account=account, licence=number))
        may = (
            domain not in self.model.sites
            and not self.reserved(domain)
            and number in self.model.accounts
            and self.may_use(account, number)
        )
        assert (done is not None) == may
        if done is not None and done.application is not None:
            self.waiting[done.application] = (domain, account, number)

    def may_use(self, account: str, number: str) -> bool:
        owner = self.model.accounts.get(number)
        if owner is not None:
            return owner == account
        return account not in self.model.accounts.values()

    @rule(data=st.data(), number=numbers, site=sites)
    def approve(self, data: st.DataObject, number: str, site: int) -> None:
        """An approval puts the domain on record under the number given."""
        if not self.waiting:
            return
        application = data.draw(st.sampled_from(sorted(self.waiting)))
        domain, account, subject = self.waiting[application]
        done = self.do(Approve(application=application, licence=f"{number}-{site}"))
        if subject is None:
            may = number not in self.model.accounts and account not in self.model.accounts.values()
        else:
            may = (
                number == subject
                and number in self.model.accounts
                and self.may_use(account, number)
                and self.model.at(number, site) is None
            )
        assert (done is not None) == may
        if done is not None:
            del self.waiting[application]
            self.model.accounts[number] = account
            self.model.put(domain, Site(number, site))

    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        """A rejection frees the domain."""
        if self.waiting:
            application = data.draw(st.sampled_from(sorted(self.waiting)))
            assert self.do(Reject(application=application, reason="x")) is not None
            del self.waiting[application]

    @rule(domain=domains, number=numbers, site=sites, elsewhere=st.booleans(), revive=st.booleans())
    def bring(self, domain: str, number: str, site: int, elsewhere: bool, revive: bool) -> None:
        """An import puts a filing on record, or adds the access filing that it lacks.

        What was cancelled stays so unless the import revives.
        """
        self.files += 1
        path = Path(self.folder.name) / f"{self.files}.csv"
        status = "filed_elsewhere" if elsewhere else "filed"
        path.write_text(
            "domain,licence,subject,status\n"
            f"{domain},{number}-{site},某某网络公司,{status}\n# {self.files}\n"
        )
        mode = ImportMode.REVIVE if revive else ImportMode.ADD
        *_, state = import_file(self.registry, path, actor=LOCAL, mode=mode)
        held = self.model.sites.get(domain)
        there = self.model.at(number, site)
        wanted = Status.FILED_ELSEWHERE if elsewhere else Status.FILED
        joins = held is None and there is not None and there.status is wanted
        if self.reserved(domain) or (held is not there and not joins):
            assert state.accepted == 0
            return
        was_gone = domain in self.model.gone
        if was_gone and not revive:
            assert (state.accepted, state.refused) == (0, 2)
            return
        assert state.revived == was_gone
        assert state.further == (joins and not was_gone)
        if held is None:
            self.model.accounts.setdefault(number, None)
            self.model.put(domain, there or Site(number, site, access=not elsewhere))
        elif not elsewhere:
            held.access = True
        assert state.refused == 1  # the comment

    @rule(domain=domains, account=accounts)
    def access(self, domain: str, account: str) -> None:
        """Access makes filed_elsewhere filed."""
        site = self.model.sites.get(domain)
        licence = f"{site.subject}-{site.site}" if site else f"{NUMBERS[0]}-1"
        done = self.do(AccessFiling(account=account, domain=domain, licence=licence))
        may = site is not None and not site.access and self.may_use(account, site.subject)
        assert (done is not None) == may
        if done is not None and site is not None:
            site.access = True
            self.model.accounts[site.subject] = account

    @rule(domain=domains)
    def cancel_access(self, domain: str) -> None:
        """The end of access makes filed filed_elsewhere."""
        site = self.model.sites.get(domain)
        done = self.do(CancelAccess(domain=domain))
        assert (done is not None) == (site is not None and site.access)
        if done is not None and site is not None:
            site.access = False

    @rule(domain=domains, wanted=domains)
    def move(self, domain: str, wanted: str) -> None:
        """A service changes its domains to one; what it had is revoked."""
        site = self.model.sites.get(domain)
        done = self.do(ChangeService(domain=domain, domains=(wanted,)))
        free = wanted not in self.model.sites and not self.reserved(wanted)
        its = site is not None and self.model.sites.get(wanted) is site
        assert (done is not None) == (site is not None and (free or its))
        if done is not None and site is not None:
            for name in self.model.of(site) - {wanted}:
                self.model.remove(name)
            self.model.put(wanted, site)

    @rule(domain=domains, kept=st.sets(domains, min_size=2, max_size=4))
    def lose(self, domain: str, kept: set[str]) -> None:
        """A website with several domains keeps some of them, and gets no other one."""
        site = self.model.sites.get(domain)
        done = self.do(ChangeService(domain=domain, domains=tuple(sorted(kept))))
        assert (done is not None) == (site is not None and kept <= self.model.of(site))
        if done is not None and site is not None:
            for name in self.model.of(site) - kept:
                self.model.remove(name)

    @rule(number=numbers, wanted=numbers)
    def renumber(self, number: str, wanted: str) -> None:
        """A subject gets another number, and all its services with it."""
        done = self.do(ChangeSubject(licence=number, new_licence=wanted))
        may = number in self.model.accounts and wanted not in self.model.accounts
        assert (done is not None) == may
        if done is not None:
            self.model.accounts[wanted] = self.model.accounts.pop(number)
            for site in self.model.sites.values():
                if site.subject == number:
                    site.subject = wanted

    @rule(domain=domains, on=st.booleans())
    def suspend(self, domain: str, on: bool) -> None:
        """A suspension begins or ends."""
        site = self.model.sites.get(domain)
        done = self.do(Suspend(domain=domain, reason="x") if on else Resume(domain=domain))
        assert (done is not None) == (site is not None and site.suspended != on)
        if done is not None and site is not None:
            site.suspended = on

    @rule(domain=domains)
    def cancel_service(self, domain: str) -> None:
        """A service ends with all its domains."""
        site = self.model.sites.get(domain)
        done = self.do(CancelService(domain=domain))
        assert (done is not None) == (site is not None)
        for name in self.model.of(site) if site is not None else ():
            self.model.remove(name)

    @rule(number=numbers)
    def cancel_subject(self, number: str) -> None:
        """A subject ends with all its services, in one batch."""
        done = self.do(CancelSubject(licence=number))
        assert (done is not None) == (number in self.model.accounts)
        if done is None:
            return
        ended = {d for d, site in self.model.sites.items() if site.subject == number}
        assert {change.domain for change in done.changes} == ended
        del self.model.accounts[number]
        for domain in ended:
            self.model.remove(domain)

    @invariant()
    def the_log_tells_what_the_model_knows(self) -> None:
        """Folding the log gives the model's set."""
        with self.database.read() as connection:
            changes = log.read_after(connection, 0, limit=10**9)
        told = {change.domain: change for change in changes}
        assert {d: c.status for d, c in told.items() if c.status is not Status.ABSENT} == {
            domain: site.status for domain, site in self.model.sites.items()
        }
        for domain, site in self.model.sites.items():
            assert told[domain].licence == f"{site.subject}-{site.site}"


TestFiling = Filing.TestCase
TestFiling.settings = settings(
    max_examples=examples(25),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
