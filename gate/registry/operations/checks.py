"""Rules between records, checked inside the transaction that relies on them."""

from __future__ import annotations

from collections.abc import Iterable

from gate.licence import SubjectNumber
from gate.registry.commands import ServiceLicence, SubjectLicence
from gate.registry.errors import RegistryError
from gate.registry.fields import fileable_domain, parse_service, parse_subject
from gate.registry.operations.work import DOMAIN, Service, Subject, Work


def domains_are_free(work: Work, names: Iterable[str], *, order: int | None = None) -> None:
    """A domain is filed once, and has one order at a time.

    `order` is the one that may hold reservations of its own.
    Raises RegistryError `domain_filed` with the holder's number, or `domain_pending`.
    """
    for position, name in enumerate(names):
        field = f"service.domains.{position}"
        holder = work.transaction.one(DOMAIN, name)
        if holder is not None and holder.service is not None:
            raise RegistryError("domain_filed", field=field, domain=name, licence=holder.licence)
        not_held(work, name, field=field, order=order)


def not_held(work: Work, name: str, *, field: str, order: int | None = None) -> None:
    """No other order than `order` holds a domain. Raises RegistryError `domain_pending`."""
    waiting = work.transaction.held_by(name)
    if waiting is not None and waiting != order:
        raise RegistryError("domain_pending", field=field, domain=name, application=waiting)


def account_is_free(work: Work, account: str, *, subject: Subject | None = None) -> None:
    """One account has one subject: nobody but `subject` may have the account.

    Raises RegistryError `account_taken`.
    """
    holder = work.subject_by_account(account)
    if holder is not None and (subject is None or holder.id != subject.id):
        raise RegistryError(
            "account_taken", field="account", account=account, licence=holder.number
        )


def account_may_use(work: Work, account: str, subject: Subject) -> None:
    """A subject has one account: `account` is its own, or both are without a partner yet.

    Raises RegistryError `subject_other_account` or `account_taken`.
    """
    if subject.account is not None and subject.account != account:
        raise RegistryError("subject_other_account", field="account", licence=subject.number)
    account_is_free(work, account, subject=subject)


def certificate_is_free(
    work: Work, certificate: str | None, *, subject: Subject | None = None
) -> None:
    """A certificate number belongs to one subject. Raises RegistryError `certificate_taken`."""
    if certificate is None:
        return
    holder = work.subject_by_certificate(certificate)
    if holder is not None and (subject is None or holder.id != subject.id):
        raise RegistryError("certificate_taken", field="subject.certificate", licence=holder.number)


def subject_number_is_free(work: Work, number: SubjectNumber, *, field: str) -> None:
    """A subject's number belongs to one live subject. Raises RegistryError `licence_taken`."""
    if work.subject_by_number(number) is not None:
        raise RegistryError("licence_taken", field=field, licence=number)


def known_subject(work: Work, licence: SubjectLicence) -> Subject:
    """Return the live subject with this number. Raises RegistryError `licence_unknown`."""
    subject = work.subject_by_number(parse_subject(licence))
    if subject is None:
        raise RegistryError("licence_unknown", field="licence", licence=licence)
    return subject


def known_service(work: Work, licence: ServiceLicence | None, domain: str | None) -> Service:
    """Return the live service named by its number, or else by a domain that it holds.

    Raises RegistryError `licence_unknown` or `domain_unknown`.
    """
    if licence is not None:
        service = work.service_by_number(parse_service(licence))
        if service is None:
            raise RegistryError("licence_unknown", field="licence", licence=licence)
        return service
    name = fileable_domain(domain or "")
    service = work.service_by_domain(name)
    if service is None:
        raise RegistryError("domain_unknown", field="domain", domain=name)
    return service
