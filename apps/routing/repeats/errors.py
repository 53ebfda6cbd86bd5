"""What can be wrong with an idempotency key.

Problem
├── KeyOfAnother     the key was used for another request
├── KeyInUse         its call is still running, and its answer is no stream that could be joined
├── AnswerNotKept    its call was answered, but the answer was too large to keep
├── TooManyKeys      the tenant has as many keys in use as can be kept
├── AnswerLost       a stream that was being followed ended without its end
└── StoreAway        whether the key was used cannot be known right now
"""

from apps.problems import Problem, Unavailable


class KeyOfAnother(Problem):
    """The idempotency key was used before, for a different request."""

    code = "idempotency_mismatch"
    status = 422


class KeyInUse(Problem):
    """The call of this key has not ended yet."""

    code = "still_answering"
    status = 409
    retryable = True


class AnswerNotKept(Problem):
    """The call of this key was answered and charged; its answer cannot be told again."""

    code = "answer_not_kept"
    status = 409


class TooManyKeys(Problem):
    """So many keys of the tenant are kept that one more would push others out too early."""

    code = "too_many_idempotency_keys"
    status = 429
    retryable = True


class AnswerLost(Problem):
    """The call that was followed broke off, or became too large to be followed."""

    code = "answer_lost"
    status = 502
    retryable = True


class StoreAway(Unavailable):
    """Nothing was asked: without the store a key protects nobody from paying twice."""

    code = "idempotency_unavailable"
