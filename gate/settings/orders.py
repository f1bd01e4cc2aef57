"""The registry's section `orders`: how the filing workflow runs at this provider."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gate.settings.base import Seconds, Section, restart

Days = Annotated[int, Field(ge=1, le=3_650)]


class AccessOpens(StrEnum):
    """When the name of an access filing passes at the gates."""

    DONE = "done"
    PROVIDER_PASS = "provider_pass"  # noqa: S105 - no password


class Sms(StrEnum):
    """Who asks the persons of an order for their codes."""

    LOG = "log"
    REPORTED = "reported"


class Unknown(StrEnum):
    """What it does to an order that nothing is known of an account's or a domain's verification."""

    REFUSE = "refuse"
    WARN = "warn"
    IGNORE = "ignore"


class RuleSettings(Section):
    """The rules that orders are checked by, as far as a provider sets them."""

    provinces: Path | None = Field(
        None,
        description="Folder of YAML files, one for each province, that take the place of those "
        "that came along; see `gate registry rules explain`.",
        json_schema_extra=restart,
    )
    unknown: Unknown = Field(
        Unknown.WARN,
        description="What it does that nobody has reported who an account was verified as, or who "
        "owns a domain (`PUT /v1/accounts/...`, `PUT /v1/domain-owners/...`).",
        json_schema_extra=restart,
    )
    items_unit: int = Field(
        10,
        ge=1,
        le=50,
        description="New websites or apps of one order of a unit.",
        json_schema_extra=restart,
    )
    items_person: int = Field(
        1,
        ge=1,
        le=50,
        description="New websites or apps of one order of a person.",
        json_schema_extra=restart,
    )
    account_hours_unit: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Hours since the account of a unit was verified.",
        json_schema_extra=restart,
    )
    account_hours_person: int = Field(
        24,
        ge=0,
        le=10_000,
        description="Hours since the account of a person was verified.",
        json_schema_extra=restart,
    )
    domain_days: int = Field(
        3,
        ge=0,
        le=365,
        description="Days since the domain's owner was verified: natural days for domains "
        "registered with this provider, working days for others.",
        json_schema_extra=restart,
    )
    representative_owns: bool = Field(
        True,
        description="Whether a unit's domain may be its legal representative's.",
        json_schema_extra=restart,
    )
    site_name_han: int = Field(
        3,
        ge=0,
        le=50,
        description="Han characters that a website's name has at least.",
        json_schema_extra=restart,
    )


class WebhookSettings(Section):
    """Notices are posted to a URL, signed; the provider hangs SMS, mail and letters on it."""

    url: str = Field(pattern=r"^https?://", description="Where notices are posted.")
    secret_file: Path = Field(description="File with the secret that signs them.")


class SmtpSettings(Section):
    """Notices are mailed."""

    host: str = Field(description="The mail server.")
    port: int = Field(587, ge=1, le=65535, description="Its port.")
    starttls: bool = Field(True, description="Whether TLS is begun before anything else.")
    ca: Path | None = Field(None, description="CA of its certificate; null for the system's.")
    user: str | None = Field(None, description="User to sign in as.")
    password_file: Path | None = Field(None, description="File with the user's password.")
    sender: str = Field(pattern=r"@", description="The sender's address.")
    to: str = Field(
        pattern=r"@",
        description="The receivers, with commas; `{account}` in it is the order's account.",
    )


class NoticeSettings(Section):
    """What owners are told, and how."""

    channels: tuple[Literal["log", "webhook", "smtp"], ...] = Field(
        ("log",),
        description="Channels that each notice goes out by: log, webhook, smtp.",
        json_schema_extra=restart,
    )
    webhook: WebhookSettings | None = Field(
        None, description="For the channel webhook.", json_schema_extra=restart
    )
    smtp: SmtpSettings | None = Field(
        None, description="For the channel smtp.", json_schema_extra=restart
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name in ("webhook", "smtp"):
            if name in self.channels and getattr(self, name) is None:
                raise ValueError(f"the channel {name} needs its section {name}")
        return self


class SightingSettings(Section):
    """What only gates know, put beside the records: whom to remind of what."""

    seconds: Seconds = Field(
        600.0,
        ge=1,
        le=86_400,
        description="Seconds between two looks at what gates report.",
        json_schema_extra=restart,
    )
    idle_days: Days = Field(
        30,
        description="Days without traffic at any gate after which a filed domain is idle; gates "
        "report it with `traffic_report.enabled`.",
        json_schema_extra=restart,
    )
    notices: tuple[Literal["blocked", "idle", "hollow"], ...] = Field(
        (),
        description="What accounts are told of, at once and on the days of `reminders`: their "
        "domains that are blocked, idle, and subjects left without services.",
        json_schema_extra=restart,
    )


class OrderSettings(Section):
    """Orders (备案订单): terms, verification by SMS, when access opens."""

    draft_days: Days = Field(
        30,
        description="Natural days without a change after which a draft can only be abandoned.",
        json_schema_extra=restart,
    )
    owner_days: Days = Field(
        45,
        description="Natural days that a returned order waits for its owner; then it is a draft "
        "again, with what was entered.",
        json_schema_extra=restart,
    )
    reminders: tuple[Days, ...] = Field(
        (5, 10, 15),
        max_length=20,
        description="Days after a return on which the owner is reminded.",
        json_schema_extra=restart,
    )
    provider_days: Days = Field(
        2,
        description="Working days for the provider's review (初审); shown as due.",
        json_schema_extra=restart,
    )
    authority_days: Days = Field(
        20,
        description="Working days for the authority's review (管局审核), unless its province has "
        "others; shown as due.",
        json_schema_extra=restart,
    )
    sms_hours: int = Field(
        24,
        ge=1,
        le=24 * 30,
        description="Hours that the persons named in an order have to verify themselves by SMS.",
        json_schema_extra=restart,
    )
    sms_tries: int = Field(
        5,
        ge=1,
        le=10,
        description="Wrong codes of a person after which the order is returned.",
        json_schema_extra=restart,
    )
    sms: Sms = Field(
        Sms.LOG,
        description="log: the registry makes the codes and writes them to its log, for trials. "
        "reported: the provider's SMS gateway verifies, and reports it (role verifier).",
        json_schema_extra=restart,
    )
    access_opens: AccessOpens = Field(
        AccessOpens.DONE,
        description="When the name of an access filing (接入备案) passes: done, or provider_pass; "
        "then it closes again when the order is returned, withdrawn, or lapses.",
        json_schema_extra=restart,
    )
    calendar: Path | None = Field(
        None,
        description="YAML file of holidays that were announced after this version: "
        "`years: {2027: {holidays: [...], workdays: [...]}}`.",
        json_schema_extra=restart,
    )
    rules: RuleSettings = Field(
        RuleSettings.model_construct(), description="The rules that orders are checked by."
    )
    notices: NoticeSettings = Field(
        NoticeSettings.model_construct(), description="What owners are told, and how."
    )
    sightings: SightingSettings = Field(
        SightingSettings.model_construct(),
        description="What gates have seen: whom to remind of what.",
    )
    sweep_seconds: Seconds = Field(
        10.0,
        ge=0.1,
        le=3_600,
        description="Seconds between two looks at what is due.",
        json_schema_extra=restart,
    )
