"""The settings model as text: the commented `gate.yaml`, and the table in the docs.

`gate_yaml()` and `markdown()` are what `make docs` writes; a test compares the files with them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gate.settings.base import Address
from gate.settings.listeners import Destination
from gate.settings.model import Route, Settings, UpstreamPool
from gate.settings.operations import AdminTls
from gate.settings.orders import SmtpSettings, WebhookSettings
from gate.settings.registry import RegistryTls
from gate.settings.reload import needs_restart
from gate.settings.sync import ClientTls, Nats, Push, PushTarget, ServerTls

Key = str | int

_WIDTH = 96
_HEAD = """\
Settings of the gate, every key with its default. Durations are seconds or texts such as
90s, 30m and 1h30m; sizes are bytes or texts such as 64KiB and 2GiB. Relative paths start at the
folder the gate is started in. An environment variable wins over this file:
GATE_POLICY__IP_HOSTS=allow sets policy.ip_hosts.
`gate config check --config FILE` checks a file. Written by `make docs`: change the model
(gate/settings/), not this file.
"""


@cache
def _examples() -> dict[type[BaseModel], BaseModel]:
    """Return what a section that is empty by default may hold."""
    return {
        Route: Route(
            match=".shop.example.cn",
            upstream=UpstreamPool(
                http=(Address(host="10.0.0.10", port=80), Address(host="10.0.0.11", port=80)),
                tls=(Address(host="10.0.0.10", port=443),),
            ),
        ),
        Destination: Destination(network="203.0.113.0/24"),
        AdminTls: AdminTls(
            certificate=Path("certs/admin.pem"),
            key=Path("certs/admin.key"),
            client_ca=Path("certs/ca.pem"),
        ),
        RegistryTls: RegistryTls(
            certificate=Path("certs/registry.pem"),
            key=Path("certs/registry.key"),
            client_ca=Path("certs/ca.pem"),
        ),
        ClientTls: ClientTls(
            ca=Path("certs/ca.pem"),
            certificate=Path("certs/gate-client.pem"),
            key=Path("certs/gate-client.key"),
        ),
        Nats: Nats(servers=("nats://10.0.0.20:4222",)),
        Push: Push(
            listen=Address(host="0.0.0.0", port=9466),
            tls=ServerTls(
                certificate=Path("certs/gate.pem"),
                key=Path("certs/gate.key"),
                client_ca=Path("certs/ca.pem"),
            ),
        ),
        PushTarget: PushTarget(name="edge-1", url="https://10.0.0.31:9466"),
        WebhookSettings: WebhookSettings(
            url="https://notices.example.cn/gate", secret_file=Path("certs/webhook.secret")
        ),
        SmtpSettings: SmtpSettings(
            host="mail.example.cn",
            ca=Path("certs/ca.pem"),
            user="gate",
            password_file=Path("certs/smtp.password"),
            sender="beian@example.cn",
            to="{account}@example.cn",
        ),
    }


def path_text(path: tuple[Key, ...]) -> str:
    """`("listeners", 0, "name")` -> `listeners[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def section(info: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section or a list of sections.

    None for a plain value.
    """
    for candidate in (info.annotation, *get_args(info.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return None if candidate is Address else candidate
    return None


def model_at(path: tuple[Key, ...]) -> type[BaseModel]:
    """Return the model whose keys stand below `path`; the nearest one above where it has none."""
    model: type[BaseModel] = Settings
    for part in path:
        if isinstance(part, int):
            continue
        info = model.model_fields.get(part)
        below = section(info) if info else None
        if below is None:
            break
        model = below
    return model


def plain(value: Any) -> Any:
    """Return a setting's value as YAML and JSON have it."""
    match value:
        case Address() | Path() | Enum():
            return str(value)
        case BaseModel():
            return {name: plain(getattr(value, name)) for name in type(value).model_fields}
        case tuple():
            return [plain(item) for item in value]
        case _:
            return value


def gate_yaml() -> str:
    """Return the text of config/gate.yaml."""
    head = "".join(f"# {line}\n" for line in _HEAD.splitlines())
    return head + "\n" + "\n".join(_section(Settings(), "", 0)) + "\n"


def _section(model: BaseModel, indent: str, depth: int) -> Iterator[str]:
    for name, info in type(model).model_fields.items():
        if depth == 0 and name != next(iter(type(model).model_fields)):
            yield ""
        yield from _comment(info, indent)
        yield from _field(name, info, getattr(model, name), indent, depth)


def _comment(info: FieldInfo, indent: str) -> Iterator[str]:
    text = (info.description or "") + (" Needs a restart." if needs_restart(info) else "")
    for line in textwrap.wrap(text, _WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"


def _field(name: str, info: FieldInfo, value: Any, indent: str, depth: int) -> Iterator[str]:
    below = section(info)
    if below is None or not value:
        yield f"{indent}{name}: {_inline(value)}"
        example = _examples().get(below) if below else None
        if example is not None:
            shown = (example,) if value == () else example
            yield f"{indent}# for example:"
            for line in _block(name, shown, indent, depth):
                yield f"{indent}# {line[len(indent) :]}"
        return
    yield from _block(name, value, indent, depth)


def _block(name: str, value: Any, indent: str, depth: int) -> Iterator[str]:
    """Yield a section, or a list of sections."""
    yield f"{indent}{name}:"
    if isinstance(value, tuple):
        yield from _items(value, indent, depth)
    else:
        yield from _section(value, indent + "  ", depth + 1)


def _items(values: tuple[BaseModel, ...], indent: str, depth: int) -> Iterator[str]:
    """Yield a list of sections; only the first item is explained."""
    for number, value in enumerate(values):
        lines = list(_section(value, indent + "    ", depth + 1))
        if number:
            lines = [line for line in lines if not line.lstrip().startswith("#")]
        first = next(i for i, line in enumerate(lines) if not line.lstrip().startswith("#"))
        lines[first] = f"{indent}  - {lines[first].lstrip()}"
        yield from lines


def _inline(value: Any) -> str:
    text = yaml.safe_dump(plain(value), default_flow_style=True, allow_unicode=True, width=1000)
    # PyYAML reads YAML 1.1 and quotes the word `off`; gate.settings.load reads it as a word.
    return text.removesuffix("\n").removesuffix("\n...").replace("'off'", "off")


def markdown() -> str:
    """Return the text of gate/docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by `make docs` from gate/settings/. -->",
        "",
        "The gate reads one YAML file (`--config FILE`, or `GATE_CONFIG`); without one, every key",
        "has its default. An environment variable wins over the file: `GATE_` and the key's path",
        "in capitals, with `__` between the parts, so `GATE_POLICY__IP_HOSTS=allow`. Lists are",
        "given as YAML: `GATE_UPSTREAMS__DEFAULT__HTTP='[10.0.0.1:80]'`.",
        "Durations are seconds, or texts such as `90s`, `30m`, `1h30m` (s, m, h, d, w); sizes are",
        "bytes, or texts such as `64KiB` and `2GiB` (KiB, MiB, GiB, TiB).",
        "",
        "`gate config check` checks a file and prints one line for each error: where, which key,",
        "what is wrong, what to do; also for files and users that it names and that are not there.",
        "A wrong setting ends the program with exit status 2.",
        "",
        "The last column says what a reload (`HUP`) does: *reload* takes effect on one, *restart*",
        "keeps its old value until the gate is started again.",
        "",
        "| key | default | meaning | changes on |",
        "| --- | --- | --- | --- |",
        *_rows(Settings, Settings(), ""),
    ]
    return "\n".join(lines) + "\n"


def _rows(model: type[BaseModel], defaults: BaseModel | None, prefix: str) -> Iterator[str]:
    for name, info in model.model_fields.items():
        key = prefix + name
        below = section(info)
        default = (
            getattr(defaults, name)
            if defaults is not None
            else info.get_default(call_default_factory=True, validated_data={})
        )
        when = "restart" if needs_restart(info) else "reload"
        if isinstance(default, BaseModel) and below is not None:
            yield from _rows(below, default, f"{key}.")
            continue
        listed = below is not None and get_origin(info.annotation) is tuple
        if info.is_required():
            shown = "(required)"
        else:
            shown = "a list" if listed else f"`{_inline(default)}`"
        yield f"| `{key}` | {shown} | {_cell(info)} | {when} |"
        if below is not None:
            yield from _rows(below, None, f"{key}[]." if listed else f"{key}.")


def _cell(info: FieldInfo) -> str:
    return (info.description or "").replace("|", "\\|")
