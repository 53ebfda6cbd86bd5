"""What can go wrong between a call and its answer.

Problem
├── UnknownModel                  no model of that name is offered to the tenant
├── ModelNotAllowed               a rule of the workspace, or the caller's key, keeps the model from this caller
├── Unpriced                      every deployment of the model lacks a price
├── NotCapable                    what was asked for cannot do what the call needs, or not where it may
├── OutputExceeded                the call asks for more output than a quota allows
├── TooDear                       every answer is likely to cost more than the ceiling
├── NoCandidates                  nothing is left that could answer
├── BreakersOpen                  all that could answer failed just now, and are being left alone
├── PoolsFull                     pools of one's own, each with as many calls as it takes
├── Overloaded                    this process has as much to do as it can, the caller's tenant more than its share
├── NothingToRoute                graded questions that cannot tell routers apart
├── ProviderAddressRefused        a provider's address or key may not be stored like this
├── CacheRulesRefused             the answer caches cannot be set like this
├── CatalogueFileRefused          a catalogue file cannot be loaded; says where and why
├── PromptBlocked                 the workspace's rules keep the prompt from every model; carries the verdicts
├── ModerationUnreachable         the moderation model cannot be asked, and the workspace lets nothing pass unasked
├── SafetySettingsRefused         screening cannot be set like this
├── AllAttemptsFailed             providers were tried and failed; carries the last cause
└── ProviderFailed                one attempt failed
    ├── ConnectFailed             no connection; nothing was sent
    ├── FirstTokenTimeout         connected, but silent
    ├── GapTimeout                silent between two tokens
    ├── TotalTimeout              the whole call took too long
    ├── StreamCut                 the connection ended without a finish reason
    ├── StreamBroken              another attempt does not go on from what readers have seen
    ├── MalformedStream           the answer cannot be read
    ├── ProviderRateLimited       429, perhaps with a time to wait
    ├── ProviderOverloaded        5xx, or an error event in the stream
    ├── ProviderAuthFailed        the provider does not accept our key or account
    ├── ProviderMisconfigured     wrong address, or the provider does not know the model
    └── ProviderRejected          the provider finds fault with the request itself
        ├── ContextExceeded       the prompt is longer than the model can read
        └── ContentFiltered       the provider's content rules refuse the prompt

`retryable` says whether the same request may succeed later; `Repeat` says where the loop over candidates may repeat it
now.
"""

import math
from enum import Enum
from typing import ClassVar

from apps.problems import Forbidden, Invalid, NotFound, Problem
from apps.routing.contracts import Verdict

FULL_RETRY_AFTER_SECONDS = 5.0


class Repeat(Enum):
    """Where a failed attempt may be made again."""

    ANYWHERE = "anywhere"
    ELSEWHERE_FIRST = "elsewhere first"  # on the same deployment only where there is no other
    ELSEWHERE_ONLY = "elsewhere only"
    OTHER_MODEL_ONLY = "other model only"
    NOWHERE = "nowhere"


class UnknownModel(NotFound):
    """No model of that name is offered to this tenant. `GET /v1/models` lists those that are."""

    code = "model_not_found"


class ModelNotAllowed(Forbidden):
    """The workspace has the model, and a rule, or the caller's key, keeps it from the caller."""

    code = "model_not_allowed"


class Unpriced(Problem):
    """The model has no price, and is not marked free, so nobody could say what a call costs."""

    code = "model_unpriced"
    status = 409


class NotCapable(Invalid):
    """No model that was asked for can do what the call needs (tools, pictures, a schema, a language, a place)."""

    code = "model_not_capable"


class OutputExceeded(Invalid):
    """The call asks for more output than a limit of the tenant, team, person or key allows."""

    code = "max_output_tokens_exceeded"


class TooDear(Problem):
    """Every model that was asked for is likely to cost more than the policy's or the call's ceiling."""

    code = "cost_ceiling"
    status = 409


class NoCandidates(Problem):
    """No deployment of the model can take this call now."""

    code = "no_candidates"
    status = 503
    retryable = True


class BreakersOpen(Problem):
    """Every deployment of the model failed again and again just now; calls wait until one of them is back."""

    code = "breaker_open"
    status = 503
    retryable = True

    def __init__(self, model_name: str, seconds: float) -> None:
        super().__init__(
            f"The providers of {model_name} failed again and again just now. Try again in {math.ceil(seconds)} s, or "
            "choose another model.",
            retry_after_seconds=seconds,
        )


class PoolsFull(Problem):
    """Every place of the model's pools is taken, and the line before them is as long as it may be."""

    code = "pool_full"
    status = 503
    retryable = True

    def __init__(self, model_name: str) -> None:
        super().__init__(
            f"{model_name} is answering as many questions as it can. Try again in a moment, or choose another model.",
            retry_after_seconds=FULL_RETRY_AFTER_SECONDS,
        )


class Overloaded(Problem):
    """The process has as many calls in flight as it takes, and the caller's tenant has its share of them."""

    code = "overloaded"
    status = 503
    retryable = True

    def __init__(self) -> None:
        super().__init__(
            "More is being asked than can be answered, and your organisation has its share of it. "
            "Try again in a moment.",
            retry_after_seconds=FULL_RETRY_AFTER_SECONDS,
        )


class NothingToRoute(Invalid):
    """The graded questions cannot tell routers apart."""

    code = "nothing_to_route"


class ProviderAddressRefused(Invalid):
    """The address is not usable, or it changed and the key was not given again."""

    code = "provider_address_refused"


class CacheRulesRefused(Invalid):
    """The answer caches cannot be set like this; `fields` says why."""

    code = "cache_rules_refused"


class CatalogueFileRefused(Invalid):
    """A catalogue file cannot be loaded. Each line of `detail` names a place in it and what is wrong there."""

    code = "catalogue_file_refused"


class PromptBlocked(Problem):
    """The workspace's rules keep the prompt from every model. `verdicts` say which, and never repeat the passage."""

    code = "prompt_blocked"
    status = 400

    def __init__(self, detail: str, verdicts: tuple[Verdict, ...]) -> None:
        super().__init__(detail)
        self.verdicts = verdicts


class ModerationUnreachable(Problem):
    """The moderation model cannot be asked, and the workspace lets nothing pass unasked."""

    code = "moderation_unreachable"
    status = 503
    retryable = True


class SafetySettingsRefused(Invalid):
    """Screening cannot be set like this; `fields` say what is wrong."""

    code = "safety_settings_refused"


class ProviderFailed(Problem):
    """One attempt failed. `detail` is our own sentence: a provider's text may hold secrets and never reaches it."""

    code = "provider_failed"
    status = 502
    retryable = True
    repeat: ClassVar[Repeat] = Repeat.ANYWHERE


class ConnectFailed(ProviderFailed):
    """No connection within the connect deadline. Nothing was sent, so nothing was used."""

    code = "provider_unreachable"


class FirstTokenTimeout(ProviderFailed):
    """The provider took the call and said nothing until the deadline. Asking it again would cost another deadline."""

    code = "first_token_timeout"
    status = 504
    repeat = Repeat.ELSEWHERE_ONLY


class GapTimeout(ProviderFailed):
    """The provider began and fell silent."""

    code = "gap_timeout"
    status = 504
    repeat = Repeat.ELSEWHERE_FIRST


class TotalTimeout(ProviderFailed):
    """The deadline of the whole call passed, whatever was tried in it."""

    code = "total_timeout"
    status = 504
    repeat = Repeat.NOWHERE


class StreamCut(ProviderFailed):
    """The connection ended before the answer did."""

    code = "stream_cut"


class StreamBroken(ProviderFailed):
    """An answer broke off after readers had seen a part of it, and no other attempt goes on in the same words."""

    code = "stream_broken"
    repeat = Repeat.NOWHERE

    def __init__(self) -> None:
        super().__init__("The answer broke off, and nobody could go on from there. Send it again.")


class MalformedStream(ProviderFailed):
    """What came is not a stream of chat chunks, or is larger than any answer."""

    code = "malformed_stream"


class ProviderRateLimited(ProviderFailed):
    """The provider limits us. `retry_after_seconds` is its own word, where it gave one."""

    code = "provider_rate_limited"
    status = 503


class ProviderOverloaded(ProviderFailed):
    """The provider had an error of its own."""

    code = "provider_overloaded"


class ProviderAuthFailed(ProviderFailed):
    """The provider does not accept our key, or our account has no credit."""

    code = "provider_auth_failed"
    retryable = False
    repeat = Repeat.ELSEWHERE_ONLY


class ProviderMisconfigured(ProviderFailed):
    """The provider's address leads nowhere, or it does not know the model by that name."""

    code = "provider_misconfigured"
    retryable = False
    repeat = Repeat.ELSEWHERE_ONLY


class ProviderRejected(ProviderFailed):
    """The provider finds fault with the request; the same model would find it again."""

    code = "provider_rejected"
    status = 400
    retryable = False
    repeat = Repeat.OTHER_MODEL_ONLY


class ContextExceeded(ProviderRejected):
    """The prompt is longer than the deployment can read; another deployment may read more."""

    code = "context_length_exceeded"
    repeat = Repeat.ELSEWHERE_ONLY


class ContentFiltered(ProviderRejected):
    """The provider's content rules refuse the prompt. It goes to another model only where a fallback says so."""

    code = "content_filtered"


class AllAttemptsFailed(Problem):
    """Every attempt that could be made failed, and trying later may help. `cause` is the last failure."""

    code = "all_attempts_failed"
    status = 502
    retryable = True

    def __init__(self, cause: ProviderFailed, attempts: int) -> None:
        tried = "The one attempt" if attempts == 1 else f"All {attempts} attempts"
        super().__init__(
            f"{tried} to get an answer failed. {cause.detail}", retry_after_seconds=cause.retry_after_seconds
        )
        self.cause = cause
        self.attempts = attempts
