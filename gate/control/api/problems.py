"""What the admin API refuses, as problems (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError

from gate.control.errors import ControlError
from gate.net.endpoint import BadRequest, Mistake
from gate.net.problems import ProblemDetails, answer, type_of


class Refusal(ControlError):
    """A request is refused; `detail` says what was wrong and what to do."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, *, field: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field

    def response(self) -> web.Response:
        """Return the answer that tells of it."""
        problem = ProblemDetails(
            type=type_of(self.code),
            title=self.status.phrase,
            status=self.status,
            detail=self.detail,
            field=self.field,
        )
        return answer(problem, realm="gate admin")


def refusal(error: BadRequest) -> Refusal:
    """Return the refusal of a query or body."""
    match error.mistake:
        case Mistake.REPEATED:
            return Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "field_invalid",
                f"{error.field} is given twice; give it once",
                field=error.field,
            )
        case Mistake.MEDIA_TYPE:
            return Refusal(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "media_type",
                "the body is to be JSON; send `Content-Type: application/json`",
            )
        case Mistake.TOO_LARGE:
            return _too_large()
        case Mistake.INCOMPLETE:
            return Refusal(
                HTTPStatus.BAD_REQUEST,
                "body_invalid",
                "the body ended early or did not come in time",
            )
        case Mistake.NOT_UTF8:
            return Refusal(HTTPStatus.BAD_REQUEST, "body_invalid", "the body is not UTF-8")
        case Mistake.NUL:
            return Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "field_invalid",
                f"{error.field} may not contain the character U+0000",
                field=error.field,
            )
        case Mistake.SHAPE if error.invalid is not None:
            return _invalid(error.invalid)
        case _:
            raise error  # a shape without what is wrong with it


def _invalid(error: ValidationError) -> Refusal:
    """Return the refusal for the first thing that is wrong with a query or body."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    detail = first["msg"].removeprefix("Value error, ")
    return Refusal(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "field_invalid",
        f"{field}: {detail}" if field else detail,
        field=field,
    )


def from_http(error: web.HTTPException, request: web.Request) -> Refusal:
    """Return the refusal for what aiohttp itself turns away."""
    status = HTTPStatus(error.status)
    match status:
        case HTTPStatus.NOT_FOUND:
            return Refusal(
                status, "path_unknown", f"nothing is at {request.path}; see /v1/openapi.json"
            )
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = error.headers.get("Allow", "")
            return Refusal(status, "method_refused", f"{request.path} takes {allowed}")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _too_large()
        case _:
            return Refusal(status, "refused", error.reason)


def _too_large() -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        "the body is larger than this port takes",
    )
