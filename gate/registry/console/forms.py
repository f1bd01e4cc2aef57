"""What a form has sent: texts by their names, no more than a form of the console can be."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gate.registry.errors import RegistryError, Said

FORM: Final = web.RequestKey("console_form", dict[str, str])
"""What was sent with a request, once it is known who asks."""
MOST_BYTES: Final = 262_144


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the texts of a form; none, where something else was sent.

    Raises RegistryError `body_too_large`, `body_invalid`, or `field_invalid` for a file.
    """
    # A limit of the console's own: it stands in the application of the API, which takes more.
    request = request.clone(client_max_size=MOST_BYTES)
    try:
        sent = await request.post()
    except web.HTTPRequestEntityTooLarge as error:
        raise RegistryError("body_too_large", limit=MOST_BYTES) from error
    except (LookupError, ValueError) as error:  # an unknown charset; no form of its kind
        detail = Said("不是有效的表单", "it is no form")
        raise RegistryError("body_invalid", detail=detail) from error
    form: dict[str, str] = {}
    for name, value in sent.items():
        if not isinstance(value, str):
            detail = Said("应为文本", "a text is due")
            raise RegistryError("field_invalid", field=name[:64], detail=detail)
        form[name] = value
    return form
