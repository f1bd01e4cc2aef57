"""Log lines on standard error, for people or for machines."""

from __future__ import annotations

import json
import logging
import sys
import time

from gate.settings import LogSettings


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{clock} {record.levelname.lower():<7} {record.name}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up(settings: LogSettings) -> None:
    """Send every log line of this process to standard error as `settings` want it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if settings.format == "json" else _Console())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(settings.level)
    # A request line for each probe and scrape is noise.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Write from now on what is at least as severe as `level`, a name as in the settings."""
    logging.getLogger().setLevel(level.upper())


def level() -> int:
    """Return the least severity that this process writes, as `logging` counts."""
    return logging.getLogger().level


def follow(wanted: int) -> None:
    """Write from the level `wanted` on, as `logging` counts; 0 leaves it as it is."""
    root = logging.getLogger()
    if wanted and wanted != root.level:
        root.setLevel(wanted)
