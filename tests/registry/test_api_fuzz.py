"""The API against its own OpenAPI document: schemathesis asks whatever the document allows, and
what it does not, and compares the answers with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gate.registry.api.app import ENDPOINTS
from gate.registry.api.openapi import document
from tests.harness.registry_process import RegistryProcess

pytestmark = pytest.mark.programs

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
    unsupported_method,
]
SETTINGS = settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryProcess]:
    """A registry to ask."""
    folder = tmp_path_factory.mktemp("fuzz")
    process = RegistryProcess(folder, {"database": str(folder / "registry.db")})
    process.start()
    try:
        yield process
        assert "failed" not in process.log.read_text(errors="replace")
    finally:
        process.kill()


DOCUMENT = document(ENDPOINTS)
METHODS = ("get", "put", "post", "delete", "patch")
OPERATIONS = [
    f"{method.upper()} {path}"
    for path, item in DOCUMENT["paths"].items()
    for method in METHODS
    if method in item
]


@pytest.fixture(scope="module")
def operations() -> dict[str, Any]:
    """The operations of the document, by method and path."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {operation.label: operation for operation in found}


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Connections that are kept: five thousand requests are sent."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_are_as_documented(
    label: str, operations: dict[str, Any], process: RegistryProcess, session: requests.Session
) -> None:
    operation = operations[label]
    # What `schema.parametrize()` makes of each operation, but when its test runs: to make the
    # cases takes seconds, which each process that collects tests would spend.
    build_operation_test(
        config=operation.schema.config,
        operation=operation,
        test_func=answers_as_documented,
        explicit_settings=SETTINGS,
        given_kwargs={},
        feedback=FeedbackSources(),
    )(process=process, session=session)


def answers_as_documented(case: Any, process: RegistryProcess, session: requests.Session) -> None:
    with suppress(KeyError, TypeError, ValueError):  # refused, not waited for
        if case.query and float(case.query["wait"]) > 0.01:
            case.query["wait"] = 0.01
    response = case.call(
        base_url=f"http://127.0.0.1:{process.port}",
        session=session,
        headers={"Authorization": f"Bearer {process.admin}"},
        timeout=20,
    )
    if len(response.request.url) > 8000:
        # By the HTTP server before the API sees it, or by the API where it just fits.
        assert response.status_code in (400, 422)
        return
    case.validate_response(response, checks=CHECKS)
