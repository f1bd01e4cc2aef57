"""Fixtures of the suites that run the real program."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.harness import examples, filings, long_tests, planes, prefork, programs
from tests.harness.certificates import Certificates, make_certificates
from tests.harness.planes import PLANES, Plane
from tests.harness.stage import Stage, Stages, fresh_path


def pytest_addoption(parser: pytest.Parser) -> None:
    names = [plane.name for plane in PLANES]
    parser.addoption("--plane", choices=names, help="test no other data plane than this one")
    parser.addoption("--quick", action="store_true", help="try fewer examples of properties")
    parser.addoption(
        "--executed", action="store_true", help="fork no program (tests/harness/prefork.py)"
    )


def pytest_configure(config: pytest.Config) -> None:
    examples.configure(quick=config.getoption("--quick"))
    prefork.set_executed(executed=config.getoption("--executed"))
    if name := config.getoption("--plane"):
        planes.choose(name)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import nothing in a quick run of which no test would run."""
    return (config.getoption("--quick") and programs.left_out(collection_path)) or None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Keep the garbage collector off what stays for the whole run: modules, ten thousand tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    programs.mark(items)
    long_tests.begin_with_them(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with _watched(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with _watched(item):
        return (yield)


def _watched(item: pytest.Item) -> contextlib.AbstractContextManager[None]:
    quick = item.config.getoption("--quick")
    return programs.none_started(item) if quick else contextlib.nullcontext()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "plane" in metafunc.fixturenames:
        some = planes.chosen()
        if metafunc.definition.get_closest_marker("python_plane"):
            some = tuple(plane for plane in some if plane is planes.PYTHON)
        metafunc.parametrize("plane", some, ids=str, scope="session")


@pytest.fixture(scope="session")
def plane() -> Plane:
    """The data plane of a shared gate; a test that comes to need it runs on each of PLANES."""
    return planes.default()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and a certificate for every filed name."""
    names = [*filings.ALL_FILED, filings.UNFILED, filings.EXEMPT]
    return make_certificates(tmp_path_factory.mktemp("certificates"), names)


@pytest.fixture(scope="session")
def stages(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Stages]:
    """The gates that tests share, each started for the first test that asks for it."""
    with contextlib.closing(Stages(tmp_path_factory.mktemp, certificates)) as stages:
        yield stages


@pytest.fixture
def stage(stages: Stages, plane: Plane) -> Iterator[Stage]:
    """One gate with two workers for every test that needs no settings of its own."""
    with stages.canonical("gate", plane) as stage:
        yield stage


@pytest.fixture
def impatient_stage(stages: Stages, plane: Plane) -> Iterator[Stage]:
    """A gate of one worker whose every time limit is short."""
    with stages.canonical(
        "impatient",
        plane,
        workers=1,
        limits={
            "head_seconds": 1.0,
            "hello_seconds": 1.0,
            "idle_seconds": 1.0,
            "body_idle_seconds": 1.0,
            "tunnel_idle_seconds": 1.0,
        },
        upstreams={"connect_timeout": 0.5, "response_timeout": 1.0, "idle_timeout": 1.0},
    ) as stage:
        yield stage


@pytest.fixture
def executed() -> Iterator[None]:
    """The programs that this test starts are executed, and no copies (tests/harness/prefork.py)."""
    with prefork.executing():
        yield


@pytest.fixture
def path() -> str:
    """A request path of this test alone."""
    return fresh_path()
