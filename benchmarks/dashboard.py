"""Draws the dashboard of config/grafana/gate.json from a real run, as a picture for the docs.

    python -m benchmarks.dashboard [--seconds 240] [--output gate/docs/pictures/dashboard.png]

A gate with its embedded registry is given HTTP and TLS for filed and unfiled names, with a rush in
the middle, and filings that come and go; a real Prometheus scrapes it. Then each panel's own
queries are asked of Prometheus and drawn by this program as lines, which Chromium photographs. It
is no Grafana: what is shown is what Grafana would show, in a plainer way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import math
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

from gate.registry.client import Remote
from gate.registry.commands import Approve, CancelService, FirstFiling, ServiceData, SubjectData
from gate.registry.places import ACCESS_FILE
from tests.harness import filings
from tests.harness.browser import new_page
from tests.harness.certificates import make_certificates
from tests.harness.hello import real_hello
from tests.harness.ports import free_port
from tests.harness.prometheus import DASHBOARD, Prometheus
from tests.harness.stage import Stage

_STEP: Final = 2
_COLOURS: Final = (
    *("#3274d9", "#e0752d", "#56a64b", "#a352cc", "#e02f44", "#8ab8ff", "#f2cc0c", "#705da0"),
    *("#37872d", "#ff9830", "#1f60c4", "#c4162a"),
)
_STYLE: Final = """
body { margin: 0; padding: 16px; background: #f4f5f5; font: 12px/1.3 sans-serif; color: #24292e; }
h1 { font-size: 18px; margin: 0 0 12px; }
main { display: grid; grid-template-columns: repeat(24, 1fr); gap: 8px; }
section { background: #fff; border: 1px solid #dcdcdc; padding: 8px; min-width: 0; }
h2 { font-size: 12px; margin: 0 0 4px; }
.stat { font-size: 28px; color: #37872d; margin: 8px 0 0; }
svg { display: block; width: 100%; height: 120px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 10px; font-size: 11px; max-height: 44px;
  overflow: hidden; }
i { display: inline-block; width: 10px; height: 3px; vertical-align: middle; margin-right: 4px; }
"""


def main() -> None:
    """Run, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument(
        "--output", type=Path, default=Path("gate/docs/pictures/dashboard.png"), metavar="PNG"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gate-dashboard-") as folder:
        page = run(Path(folder), options.seconds)
        path = asyncio.run(photograph(page, Path(folder)))
        shutil.copy(path, options.output)
    print(f"written: {options.output}")


def run(folder: Path, seconds: int) -> str:
    """Return the page with all panels, after a run of so many seconds."""
    names = [*filings.ALL_FILED, filings.UNFILED, filings.EXEMPT]
    certificates = make_certificates(_made(folder / "certificates"), names)
    home = _made(folder / "gate")
    stage = Stage(
        home,
        certificates,
        replica_dir=str(home / "synced"),
        sync={"registry": "embedded"},
        registry={"listen": f"127.0.0.1:{free_port()}"},
        unfiled={"report": {"enabled": True, "seconds": 10}},
        upstreams={"rest_seconds": 2},
    )
    prometheus = Prometheus(_made(folder / "prometheus"), stage.gate.admin, seconds=_STEP)
    try:
        give_traffic(stage, home, seconds)
        return draw(prometheus, seconds)
    finally:
        prometheus.stop()
        stage.close()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def give_traffic(stage: Stage, home: Path, seconds: int) -> None:
    """Ask for names of every kind; more of them in the middle third."""
    access = json.loads((home / "registry" / ACCESS_FILE).read_text())
    registry = Remote(access["url"], access["token"])
    for domain in ("filed.com", "refused.com"):
        file(registry, domain)
    began, number = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        number += 1
        rush = 1 / 3 < passed / seconds < 2 / 3
        for host in ("filed.com", f"shop{number % 7}.filed.com", f"n{number % 40}.example.org"):
            ask(stage, host)
            with contextlib.suppress(OSError):
                greet(stage, host)
        if number % 25 == 0:
            file(registry, f"new{number}.cn")
            if number % 50 == 0:
                registry.perform(CancelService(domain=f"new{number}.cn"))
        time.sleep(0.02 if rush else 0.1)


def file(registry: Remote, domain: str) -> None:
    """File a domain, and have it approved."""
    made = registry.perform(
        FirstFiling(
            account=domain,
            province="京",
            subject=SubjectData(name=domain),
            service=ServiceData(name=domain, domains=(domain,)),
        )
    )
    registry.perform(Approve(application=made.application or 0, generate=True))


def ask(stage: Stage, host: str) -> None:
    """One request over HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", stage.gate.ports["http"], timeout=10)
    connection.request("GET", "/", headers={"Host": host})
    connection.getresponse().read()
    connection.close()


def greet(stage: Stage, host: str) -> None:
    """One hello over TLS."""
    with socket.create_connection(("127.0.0.1", stage.gate.ports["tls"]), 10) as sock:
        sock.sendall(real_hello(host))
        sock.recv(1)


def draw(prometheus: Prometheus, seconds: int) -> str:
    """Return the dashboard as a page."""
    dashboard = json.loads(DASHBOARD.read_text())
    panels = "\n".join(_panel(prometheus, panel, seconds) for panel in dashboard["panels"])
    return (
        f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style>"
        f"<h1>{escape(dashboard['title'])}</h1><main>{panels}</main>"
    )


def _panel(prometheus: Prometheus, panel: dict[str, Any], seconds: int) -> str:
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    lines = [line for target in panel["targets"] for line in _lines(prometheus, target, seconds)]
    grid = panel["gridPos"]
    # As many units as the panel is wide, so that no text is stretched.
    width = _UNITS_A_COLUMN * grid["w"]
    shown = _stat(lines, unit) if panel["type"] == "stat" else _chart(lines, unit, width)
    place = f"grid-column: {grid['x'] + 1} / span {grid['w']}"
    return f"<section style='{place}'><h2>{escape(panel['title'])}</h2>{shown}</section>"


_UNITS_A_COLUMN = 50.5
Line = tuple[str, list[tuple[float, float]]]


def _lines(prometheus: Prometheus, target: dict[str, Any], seconds: int) -> Iterator[Line]:
    query = target["expr"].replace("$__rate_interval", f"{4 * _STEP}s").replace("$instance", ".*")
    for series in prometheus.range(query, last=seconds, step=_STEP):
        legend = target.get("legendFormat", "")
        for name, value in series["metric"].items():
            legend = legend.replace("{{" + name + "}}", value)
        points = [(float(at), float(value)) for at, value in series["values"]]
        yield legend, [point for point in points if math.isfinite(point[1])]


def _stat(lines: list[Line], unit: str) -> str:
    points = lines[0][1] if lines else []
    return f"<p class=stat>{_shown(points[-1][1], unit) if points else 'no data'}</p>"


def _chart(lines: list[Line], unit: str, width: float) -> str:
    values = [value for _, points in lines for _, value in points]
    if not values:
        return "<p>no data in this run</p>"
    times = [at for _, points in lines for at, _ in points]
    top, first, span = _top(max(values), unit), min(times), max(max(times) - min(times), 1)
    right = width - 4
    paths, legend = [], []
    for place, (name, points) in enumerate(lines):
        colour = _COLOURS[place % len(_COLOURS)]
        steps = " ".join(
            f"{50 + (right - 50) * (at - first) / span:.1f},{108 - 100 * value / top:.1f}"
            for at, value in points
        )
        paths.append(f"<polyline points='{steps}' fill=none stroke='{colour}' stroke-width=1.5 />")
        legend.append(f"<span><i style='background:{colour}'></i>{escape(name)}</span>")
    marks = "".join(
        f"<line x1=50 x2={right} y1={108 - 100 * part} y2={108 - 100 * part} stroke='#e5e5e5' />"
        f"<text x=46 y={111 - 100 * part} text-anchor=end font-size=9>"
        f"{_shown(top * part, unit)}</text>"
        for part in (0, 0.5, 1)
    )
    return (
        f"<svg viewBox='0 0 {width} 116' preserveAspectRatio=none>{marks}{''.join(paths)}</svg>"
        f"<div class=legend>{''.join(legend)}</div>"
    )


def _top(value: float, unit: str) -> float:
    """Return a round number that is no less, for the end of an axis."""
    if unit == "percentunit" and 0.5 < value <= 1:
        return 1.0
    if value <= 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * part for part in (1, 2, 4, 6, 8, 10) if step * part >= value)


def _shown(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"
    for step, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= step:
            return f"{value / step:.3g} {letter}{'B' if unit in ('bytes', 'Bps') else ''}"
    return f"{value:.3g}" + {"ops": "/s", "Bps": " B/s", "bytes": " B"}.get(unit, "")


async def photograph(page: str, folder: Path) -> Path:
    """Return a picture of the page."""
    path = folder / "dashboard.html"
    path.write_text(page, encoding="utf-8")
    async with new_page(folder / "browser", "--allow-file-access-from-files") as shown:
        await shown.window(1600, 900)
        error = await shown.open(path.as_uri())
        assert not error, error
        return await shown.picture("dashboard")


if __name__ == "__main__":
    main()
