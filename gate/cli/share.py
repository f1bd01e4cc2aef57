"""Shares as people write them: 10%, 0.1."""

from __future__ import annotations

from typing import Any

import click

from gate.settings.base import parse_share


class Share(click.ParamType[float]):
    """A click type: text to a number from 0 to 1."""

    name = "share"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the share of a text; a usage error for what is none."""
        try:
            return parse_share(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


max_shrink_option = click.option(
    "--max-shrink",
    type=Share(),
    default="10%",
    show_default=True,
    help="Ask before more than this share of the filed domains closes.",
)
