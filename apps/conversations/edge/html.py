"""Finished answers as HTML, rendered once and kept in the cache."""

from django.core.cache import cache
from redis.exceptions import RedisError

from apps.conversations.contracts import AnswerRow
from apps.markdown import RENDERER_VERSION, render


def rendered_answer(answer: AnswerRow) -> str:
    """The answer's safe HTML. The cache key holds the tenant, and the text's digest: a changed text is another entry.

    A cache that does not answer costs time and nothing else.
    """
    if not answer.text:
        return ""
    if answer.text_sha256 is None:
        return render(answer.text)
    # In braces, so that a tenant's keys are on one node of a cluster.
    key = f"{{t:{answer.tenant_id}}}:answer:{RENDERER_VERSION}:{answer.message_id}:{answer.text_sha256}"
    try:
        html = cache.get(key)
        if html is None:
            html = render(answer.text)
            cache.set(key, html)
    except RedisError:
        return render(answer.text)
    return str(html)
