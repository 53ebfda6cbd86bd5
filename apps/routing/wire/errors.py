"""Problems in the words of each dialect."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from apps.problems import Invalid, Problem

# Which parameter of a door is at fault, by the problem's code.
_CHAT_PARAMS = {
    "model_not_found": "model",
    "context_length_exceeded": "messages",
    "max_output_tokens_exceeded": "max_tokens",
}
_RESPONSES_PARAMS = _CHAT_PARAMS | {
    "context_length_exceeded": "input",
    "max_output_tokens_exceeded": "max_output_tokens",
}
_EMBEDDINGS_PARAMS = {"model_not_found": "model", "context_length_exceeded": "input"}
_OPENAI_CODES = {"unauthenticated": "invalid_api_key"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class WireError(Invalid):
    """The body is no request of the dialect. `param` is the path of the field at fault, None where it is no field."""

    code = "invalid_request"

    def __init__(self, param: str | None, detail: str) -> None:
        super().__init__(detail, fields={param: [detail]} if param else None)
        self.param = param


def openai(
    problem: Problem, request_id: str | None = None, *, params: Mapping[str, str] = _CHAT_PARAMS
) -> dict[str, Any]:
    """`{"error": {message, type, param, code}}`. OpenAI's own says its request id in a header alone."""
    param = problem.param if isinstance(problem, WireError) else params.get(problem.code)
    kind, code = _openai_kind(problem)
    return {"error": {"message": problem.detail, "type": kind, "param": param, "code": code}}


openai_responses = partial(openai, params=_RESPONSES_PARAMS)
openai_embeddings = partial(openai, params=_EMBEDDINGS_PARAMS)


def anthropic(problem: Problem, request_id: str | None = None) -> dict[str, Any]:
    """`{"type": "error", "error": {type, message}, "request_id"}`."""
    fallback = "invalid_request_error" if problem.status < 500 else "api_error"
    kind = _ANTHROPIC_TYPES.get(problem.status, fallback)
    param = problem.param if isinstance(problem, WireError) else None
    message = f"{param}: {problem.detail}" if param else problem.detail
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def _openai_kind(problem: Problem) -> tuple[str, str]:
    """Type and code. A limit that time alone lifts is told from an allowance that is used up, as OpenAI tells them; a
    provider's own limits have another status and keep their code."""
    if problem.status == 429:
        if not problem.retryable:
            return "insufficient_quota", "insufficient_quota"
        return ("tokens" if "token" in problem.code else "requests"), "rate_limit_exceeded"
    code = _OPENAI_CODES.get(problem.code, problem.code)
    return ("invalid_request_error" if problem.status < 500 else "server_error"), code
