"""What a provider has set for orders: terms, the calendar, when access opens, how SMS goes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

from gate.registry.errors import RegistryError
from gate.registry.orders.clocks import Terms
from gate.registry.orders.rule_texts import Rulebook, RulesError, Weight
from gate.registry.orders.rules import OrderLimits
from gate.registry.orders.working_days import CalendarError, WorkingDays
from gate.settings import AccessOpens, OrderSettings, RuleSettings, Sms, Unknown

_DEFAULTS: Final = OrderSettings()


def _terms(settings: OrderSettings) -> Terms:
    return Terms(
        draft_days=settings.draft_days,
        provider_days=settings.provider_days,
        owner_days=settings.owner_days,
        sms_hours=settings.sms_hours,
        authority_days=settings.authority_days,
        reminders=settings.reminders,
    )


def _limits(settings: RuleSettings) -> OrderLimits:
    unknown = None if settings.unknown is Unknown.IGNORE else Weight(settings.unknown.value)
    return OrderLimits(
        items_unit=settings.items_unit,
        items_person=settings.items_person,
        account_hours_unit=settings.account_hours_unit,
        account_hours_person=settings.account_hours_person,
        domain_days=settings.domain_days,
        representative_owns=settings.representative_owns,
        site_name_han=settings.site_name_han,
        unknown=unknown,
    )


@dataclass(slots=True, frozen=True)
class OrderPolicy:
    """A provider's choices; the defaults are those of the settings."""

    terms: Terms = field(default_factory=lambda: _terms(_DEFAULTS))
    days: WorkingDays = field(default_factory=WorkingDays)
    access_opens_at_pass: bool = False
    """接入备案 opens at the provider's pass, and not only when it is done."""
    sms: Sms = _DEFAULTS.sms
    sms_tries: int = _DEFAULTS.sms_tries
    limits: OrderLimits = field(default_factory=lambda: _limits(_DEFAULTS.rules))
    channels: tuple[str, ...] = _DEFAULTS.notices.channels
    """What notices go out by."""
    provinces: Path | None = None
    """The provider's own files of the provinces' rules."""

    idle_days: int = _DEFAULTS.sightings.idle_days
    """Days without traffic after which a filing is idle."""
    told_of: tuple[str, ...] = _DEFAULTS.sightings.notices
    """What accounts are told of that gates have seen: blocked, idle, hollow."""

    @classmethod
    def of(cls, settings: OrderSettings) -> Self:
        """Return what the settings say. Raises RegistryError `settings_unusable`."""
        try:
            days = WorkingDays.load(settings.calendar)
            if settings.rules.provinces is not None:
                _rulebook(settings.rules.provinces)
        except (CalendarError, RulesError) as error:
            raise RegistryError("settings_unusable", detail=str(error)) from error
        return cls(
            terms=_terms(settings),
            days=days,
            access_opens_at_pass=settings.access_opens is AccessOpens.PROVIDER_PASS,
            sms=settings.sms,
            sms_tries=settings.sms_tries,
            limits=_limits(settings.rules),
            channels=tuple(dict.fromkeys(settings.notices.channels)),
            provinces=settings.rules.provinces,
            idle_days=settings.sightings.idle_days,
            told_of=tuple(dict.fromkeys(settings.sightings.notices)),
        )

    @property
    def rulebook(self) -> Rulebook:
        """The provinces' rules, read once."""
        return _rulebook(self.provinces)

    def terms_of(self, province: str) -> Terms:
        """Return the terms of orders in a province, whose authority may have its own."""
        rules = self.rulebook.of(province)
        if rules is None or rules.authority_days is None:
            return self.terms
        return replace(self.terms, authority_days=rules.authority_days)


@lru_cache(maxsize=8)
def _rulebook(folder: Path | None) -> Rulebook:
    return Rulebook.load(folder)
