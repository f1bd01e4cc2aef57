"""The API against its own OpenAPI document: schemathesis asks whatever the document allows, and
what it does not, and compares the answers with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
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
from tests.registry.process import RegistryProcess

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


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryProcess]:
    """A registry to ask."""
    folder = tmp_path_factory.mktemp("fuzz")
    process = RegistryProcess(folder, str(folder / "registry.db"))
    process.start()
    try:
        yield process
        assert "failed" not in process.log.read_text(errors="replace")
    finally:
        process.kill()


schema = schemathesis.openapi.from_dict(document(ENDPOINTS))


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_answers_are_as_documented(case: Any, process: RegistryProcess) -> None:
    if case.query and isinstance(case.query.get("wait"), int | float):
        case.query["wait"] = min(case.query["wait"], 0.01)
    response = case.call(
        base_url=f"http://127.0.0.1:{process.port}",
        headers={"Authorization": f"Bearer {process.token}"},
        timeout=20,
    )
    if len(response.request.url) > 8000:
        assert response.status_code == 400  # by the HTTP server, before the API sees it
        return
    case.validate_response(response, checks=CHECKS)
