"""A bar chart of the results as SVG, with no library: readable in light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

ORDER = ("gate", "haproxy", "nginx", "envoy")
SHOWN = {"gate": "gate", "haproxy": "HAProxy", "nginx": "nginx", "envoy": "Envoy"}
WIDTH, LEFT, RIGHT = 860, 300, 96
BAR, GAP, GROUP_GAP, TOP = 13, 2, 14, 64
LONGEST = 3.0

_STYLE = """
text { font: 12px system-ui, "Segoe UI", "Noto Sans", sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.muted { fill: #59636e }
.gate { fill: #1a7f5a } .haproxy { fill: #8c959f } .nginx { fill: #afb8c1 } .envoy { fill: #d0d7de }
.line { stroke: #59636e; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .muted { fill: #9198a1 } .line { stroke: #9198a1 }
  .gate { fill: #3fb68b } .haproxy { fill: #768390 } .nginx { fill: #545d68 }
  .envoy { fill: #3d444d }
}
"""


def _cost(row: Mapping[str, Any], name: str) -> float | None:
    cell = row["servers"].get(name)
    return None if cell is None else cell["cpu_per_unit"]


def _label(value: float, unit: str) -> str:
    text = f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
    return f"{text} {'µs' if unit == 'us' else 's'}"


def _text(x: float, y: float, text: str, cls: str = "", anchor: str = "start") -> str:
    extra = f' class="{cls}"' if cls else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def draw(rows: Sequence[Mapping[str, Any]], footnote: str) -> str:
    """Bars of CPU per unit by the best peer's, a group for each workload; gives SVG text."""
    scale = (WIDTH - LEFT - RIGHT) / LONGEST
    parts = [
        _text(16, 24, "CPU per unit of work, the best peer = 1 (shorter is better)", "title"),
    ]
    x = 16.0
    for name in ORDER:
        parts.append(f'<rect class="{name}" x="{x:.0f}" y="36" width="12" height="12" rx="2"/>')
        parts.append(_text(x + 17, 46, SHOWN[name]))
        x += 84
    y = float(TOP)
    for row in rows:
        costs = {name: cost for name in ORDER if (cost := _cost(row, name)) is not None}
        peers = [cost for name, cost in costs.items() if name != "gate"]
        if not peers:
            continue
        best = min(peers)
        height = len(costs) * (BAR + GAP)
        parts.append(_text(LEFT - 10, y + height / 2 + 4, row["title"], anchor="end"))
        for name, cost in costs.items():
            relative = cost / best
            length = min(relative, LONGEST) * scale
            parts.append(
                f'<rect class="{name}" x="{LEFT}" y="{y:.1f}" width="{length:.1f}" '
                f'height="{BAR}" rx="2"/>'
            )
            label = _label(cost, row["cpu_unit"])
            if relative > LONGEST:
                label += f" (×{relative:.1f})"
            parts.append(_text(LEFT + length + 5, y + BAR - 2, label, "muted"))
            y += BAR + GAP
        y += GROUP_GAP
    one = LEFT + scale
    parts.append(f'<line class="line" x1="{one:.1f}" y1="{TOP - 6}" x2="{one:.1f}" y2="{y:.1f}"/>')
    parts.append(_text(16, y + 16, footnote, "muted"))
    total = y + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total:.0f}" '
        f'viewBox="0 0 {WIDTH} {total:.0f}" role="img" '
        f'aria-label="CPU per unit of work of gate, HAProxy, nginx and Envoy">'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )
