"""What a browser can tell of a page's accessibility (WCAG 2.2, level AA), as a list of faults.

Nothing here is guessed from the markup: colours, sizes and focus are the browser's computed ones,
names and roles those of its accessibility tree, and the keyboard's way is walked key by key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.harness.browser import Page

MOST_STOPS: Final = 400

_HERE: Final = Path(__file__).parent
_CONTROLS: Final = (
    "a[href], button, summary, select, textarea, input:not([type=hidden]):not([hidden])"
)

_LOOK: Final = (_HERE / "accessibility_look.js").read_text().replace("CONTROLS", _CONTROLS)

_STOP: Final = (_HERE / "accessibility_stop.js").read_text()

_FOCUSABLE: Final = f"""
[...document.querySelectorAll('{_CONTROLS}')]
  .filter((one) => !one.disabled && one.tabIndex >= 0 && one.checkVisibility())
  .map((one) => [...document.querySelectorAll('*')].indexOf(one))
"""

_FROM_THE_TOP: Final = """
document.body.tabIndex = -1;
document.body.focus();
document.body.removeAttribute('tabindex');
scrollTo(0, 0);
"""

_NAMED_ROLES: Final = frozenset(
    {
        *("button", "link", "textbox", "searchbox", "combobox", "listbox", "checkbox", "radio"),
        *("spinbutton", "Date", "DisclosureTriangle", "group", "navigation", "table", "img"),
    }
)
"""Roles that say nothing without a name; `group` is a fieldset."""
_NAMELESS: Final = frozenset({"table", "group", "img"})
"""Of them, those that a page may have without one, if there is but one of a sort around it."""


async def faults(page: Page) -> list[str]:
    """What is wrong with the page as it is shown now."""
    found = await page.value(_LOOK)
    assert isinstance(found, list), "the page could not be looked at"
    return [*found, *await _unnamed(page)]


async def _unnamed(page: Page) -> list[str]:
    """Controls without a name in the tree that a screen reader reads."""
    tree = await page.call("Accessibility.getFullAXTree")
    return [
        f"unnamed {role}"
        for node in tree["nodes"]
        if not node["ignored"]
        and (role := _text(node, "role")) in _NAMED_ROLES - _NAMELESS
        and not _text(node, "name").strip()
    ]


async def roles(page: Page) -> dict[str, int]:
    """How many there are of each role in the tree that a screen reader reads."""
    tree = await page.call("Accessibility.getFullAXTree")
    found: dict[str, int] = {}
    for node in tree["nodes"]:
        if not node["ignored"]:
            role = _text(node, "role")
            found[role] = found.get(role, 0) + 1
    return found


def _text(node: dict[str, Any], name: str) -> str:
    return str(node.get(name, {}).get("value", ""))


async def press(page: Page, key: str, code: int) -> None:
    """Press a key and let it go."""
    text = {"text": "\r"} if key == "Enter" else {}
    for kind in ("keyDown", "keyUp"):
        await page.call(
            "Input.dispatchKeyEvent",
            type=kind,
            key=key,
            code=key,
            windowsVirtualKeyCode=code,
            **(text if kind == "keyDown" else {}),
        )


async def from_the_top(page: Page) -> None:
    """Have the next Tab go to the first thing on the page."""
    await page.value(_FROM_THE_TOP)


async def walk(page: Page) -> list[str]:
    """What is wrong on the way of the Tab key from the top of the page to its end."""
    wanted = list(await page.value(_FOCUSABLE))
    await from_the_top(page)
    found: list[str] = []
    places: list[int] = []
    for _ in range(MOST_STOPS):
        await press(page, "Tab", 9)
        stop = await page.value(_STOP)
        if stop is not None and places and stop["place"] == places[-1]:
            continue  # the parts of a date
        if stop is None or stop["place"] in places:
            break
        places.append(stop["place"])
        if stop["outline"] < 2:
            found.append(f"focus is not seen: {stop['name']}")
        if not stop["inside"] or stop["covered"]:
            found.append(f"focus is out of sight: {stop['name']}")
    if places != sorted(places):
        found.append(f"the keyboard goes {places}")
    if missed := sorted(set(wanted) - set(places)):
        names = f"{missed}.map((at) => document.querySelectorAll('*')[at].outerHTML.slice(0, 120))"
        found.append(f"the keyboard does not reach {await page.value(names)}")
    return found
