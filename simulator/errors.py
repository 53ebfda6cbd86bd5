"""What the simulator refuses. Its wire formats say it each in their own shape.

ApiError
├── InvalidRequest       400  the body is wrong; sending it again will not help
├── ContextLength        400  more prompt than the model can hold
├── Unauthenticated      401  no key, or the one key that is always wrong
└── UnknownModel         404  no such model
"""

from __future__ import annotations


class ApiError(Exception):
    """One refusal: HTTP status and what OpenAI says of it; others say part of that. None of these is worth a retry."""

    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class InvalidRequest(ApiError):
    pass


class ContextLength(ApiError):
    def __init__(self, limit_tokens: int, asked_tokens: int) -> None:
        super().__init__(
            f"This model's maximum context length is {limit_tokens} tokens. However, your messages "
            f"resulted in "
            f"{asked_tokens} tokens. Please reduce the length of the messages.",
            param="messages",
            code="context_length_exceeded",
        )
        self.limit_tokens = limit_tokens
        self.asked_tokens = asked_tokens


class Unauthenticated(ApiError):
    status = 401

    def __init__(self, *, key_given: bool) -> None:
        if key_given:
            super().__init__("Incorrect API key provided: invalid.", code="invalid_api_key")
        else:
            super().__init__("You didn't provide an API key. Send it as `Authorization: Bearer KEY`.")
        self.key_given = key_given


class UnknownModel(ApiError):
    status = 404

    def __init__(self, model: str) -> None:
        super().__init__(f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found")
        self.model = model
