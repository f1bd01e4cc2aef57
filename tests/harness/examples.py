"""How many examples the property tests try: all, or a tenth of them under `pytest --quick`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_share = 1


def configure(*, quick: bool) -> None:
    """Settle it for this run, before any test is collected."""
    global _share
    _share = 10 if quick else 1
    # How fast an example runs says more about the machine than about the code.
    settings.register_profile(
        "untimed",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=examples(100),
    )
    settings.load_profile("untimed")


def examples(number: int) -> int:
    """Return how many examples are tried of a test that is worth `number` of them."""
    return max(number // _share, 5)
