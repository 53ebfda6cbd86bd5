"""The chat pages: drawn by the server, in fragments for htmx and for the page's scripts where only a part changes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import unquote
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from apps.conversations import selectors, services
from apps.conversations.contracts import ConversationSummary, LaneRow, QuestionRow, Timeline, TurnRow
from apps.conversations.edge.answer_views import AnswerView, TurnView, price, prompt_view, turn_view
from apps.conversations.edge.cursors import conversation_cursor, parse_conversation_cursor
from apps.conversations.errors import InvalidMessage
from apps.routing import selectors as routing
from apps.routing.contracts import ModelCard
from apps.tenants import instructions
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action, opens

LIST_LENGTH = 30
LONGEST_LIST = 200
LANES_AT_FIRST = 2
WIDE_LANES = 3
CONNECT_COMMAND = "python manage.py add_provider OpenAI --kind openai --key-env OPENAI_API_KEY --discover"

P = ParamSpec("P")
PageView = Callable[Concatenate[HttpRequest, Principal, P], HttpResponseBase]


@dataclass(slots=True)
class ChatGroup:
    """Chats of one stretch of time. `continued`: its heading stands further up already."""

    key: str
    label: str
    continued: bool
    chats: list[ConversationSummary]


def page(view: PageView[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A view for people who are signed in; others are sent to the sign-in and come back."""

    @never_cache
    @ensure_csrf_cookie
    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        principal: Principal | None = getattr(request, "principal", None)
        if principal is not None:
            return view(request, principal, *args, **kwargs)
        if request.headers.get("HX-Request"):
            return HttpResponseClientRedirect(reverse("login"))
        return redirect_to_login(request.get_full_path(), reverse("login"))

    return wrapped


@opens(GET=Action.CHAT_READ)
@require_GET
@page
def new_chat(request: HttpRequest, principal: Principal) -> HttpResponse:
    """An empty chat: greeting, prompts, and how to connect a real provider."""
    models = routing.models_for(principal)
    context = {
        "greeting": _greeting(principal, _zone(request)),
        "simulated_count": sum(card.simulated for card in models),
        "connect_command": CONNECT_COMMAND,
    }
    chosen = [card.slug for card in models[:LANES_AT_FIRST]]
    return render(request, "conversations/chat.html", context | _shell(request, principal, models, chosen))


@opens(GET=Action.CHAT_READ)
@require_GET
@page
def chat(request: HttpRequest, principal: Principal, conversation_id: UUID) -> HttpResponse:
    """A chat with its latest turns. Running answers come empty; the page's script replays them."""
    timeline = selectors.timeline(principal, conversation_id)
    models = routing.models_for(principal)
    context = _shell(request, principal, models, timeline.conversation.models, conversation_id)
    context |= {"conversation": timeline.conversation, "wide": len(timeline.lanes) >= WIDE_LANES}
    return render(request, "conversations/chat.html", context | _turns(timeline, timeline.turns))


@opens(GET=Action.CHAT_READ)
@require_GET
@page
def turns(request: HttpRequest, principal: Principal, conversation_id: UUID) -> HttpResponse:
    """Turns as a fragment: those before `?before=<seq>`, or the latest ones from turn `?from=<id>` on."""
    timeline = selectors.timeline(principal, conversation_id, before_seq=_whole_number(request, "before"))
    first = request.GET.get("from", "")
    shown = [turn for turn in timeline.turns if str(turn.id) >= first]  # turn ids grow with time
    return render(request, "conversations/turns.html", _turns(timeline, shown))


@opens(GET=Action.CHAT_READ)
@require_GET
@page
def turn(request: HttpRequest, principal: Principal, conversation_id: UUID, turn_id: UUID) -> HttpResponse:
    """One turn as a fragment."""
    row = selectors.turn(principal, conversation_id, turn_id)
    timeline = selectors.timeline(principal, conversation_id, limit=0)
    return render(request, "conversations/turns.html", _turns(timeline, [row]) | {"older_url": ""})


@opens(GET=Action.CHAT_READ)
@require_GET
@page
def prompt(request: HttpRequest, principal: Principal, generation_id: UUID) -> HttpResponse:
    """What the model behind an answer was shown, as a fragment."""
    return render(request, "conversations/_prompt.html", prompt_view(selectors.prompt(principal, generation_id)))


@opens(GET=Action.CHAT_READ)
@require_GET
@page
def chat_list(request: HttpRequest, principal: Principal) -> HttpResponse:
    """A stretch of the sidebar as a fragment: the first `?count=` chats, or those after `?before=<cursor>`."""
    return render(request, "conversations/_chat_list.html", _sidebar(request, principal))


@opens(POST=Action.CHAT_KEEP)
@require_POST
@page
def rename(request: HttpRequest, principal: Principal, conversation_id: UUID) -> HttpResponse:
    """Give the chat another title; answers with its line in the sidebar."""
    services.rename(principal, conversation_id, request.POST.get("title", ""))
    timeline = selectors.timeline(principal, conversation_id, limit=1)
    row = timeline.conversation
    hues = {slug: card.hue for slug, card in routing.cards(principal.tenant_id).items()}
    line = ConversationSummary(
        id=row.id,
        title=row.title,
        last_activity_at=row.last_activity_at,
        running=any(not answer.state.terminal for turn in timeline.turns for answer in turn.answers),
        hues=tuple(hues.get(slug, 1) for slug in row.models),
    )
    return render(request, "conversations/_chat_row.html", {"chat": line})


@opens(POST=Action.CHAT_KEEP)
@require_POST
@page
def delete(request: HttpRequest, principal: Principal, conversation_id: UUID) -> HttpResponse:
    """Hide the chat. `restore` undoes it."""
    services.delete(principal, conversation_id)
    return HttpResponse(status=204)


@opens(POST=Action.CHAT_KEEP)
@require_POST
@page
def restore(request: HttpRequest, principal: Principal, conversation_id: UUID) -> HttpResponse:
    """Bring a deleted chat back."""
    services.restore(principal, conversation_id)
    return HttpResponse(status=204)


def _shell(
    request: HttpRequest,
    principal: Principal,
    models: list[ModelCard],
    chosen: Iterable[str],
    conversation_id: UUID | None = None,
) -> dict[str, Any]:
    """What every chat page shows around its turns: sidebar, catalogue, and what scripts clone."""
    offered = {card.slug for card in models}
    kept = [slug for slug in chosen if slug in offered] or [card.slug for card in models[:1]]
    return _sidebar(request, principal) | {
        "current_id": conversation_id,
        "models": [_offer(card) for card in sorted(models, key=lambda card: card.policy)],
        "longest_instructions": instructions.MAX_CHARACTERS,
        "chosen": kept,
        "lanes": (),
        "turns": (),
        "blank_answer": AnswerView(0, "", "", 0, state="waiting"),
        "absent_answer": AnswerView(0, "", "", 0, state="absent"),
        "failed_answer": AnswerView(0, "", "", 0, state="failed", outcome="failed"),
        "partial_answer": AnswerView(0, "", "", 0, state="stopped", outcome="partial"),
        "stopped_answer": AnswerView(0, "", "", 0, state="stopped", outcome="stopped"),
        "blank_turn": TurnView("", 0, QuestionRow(UUID(int=0), ""), ()),
        "blank_lane": LaneRow(0, "", "", 0),
    }


def _offer(card: ModelCard) -> dict[str, Any]:
    free = card.input_usd_per_mtok == 0 and card.output_usd_per_mtok == 0
    cost = "free" if free else f"{price(card.input_usd_per_mtok, card.output_usd_per_mtok)} per million"
    words = [f"{card.context_tokens // 1000}k context", cost]
    if card.policy:
        words = []
    return {
        "slug": card.slug,
        "name": card.name,
        "hue": card.hue,
        "description": card.description,
        "simulated": card.simulated,
        "free": free,
        "policy": card.policy,
        "facts": " · ".join(words),
    }


def _turns(timeline: Timeline, rows: Iterable[TurnRow]) -> dict[str, Any]:
    rows = list(rows)
    older_url = ""
    if timeline.older and rows:
        older_url = f"{reverse('chat_turns', args=[timeline.conversation.id])}?before={rows[0].seq}"
    return {
        "lanes": timeline.lanes,
        "turns": [turn_view(row, timeline.lanes) for row in rows],
        "older_url": older_url,
    }


def _sidebar(request: HttpRequest, principal: Principal) -> dict[str, Any]:
    """The sidebar's next stretch, grouped by the reader's own days."""
    before = parse_conversation_cursor(request.GET.get("before", ""))
    count = min(LONGEST_LIST, max(LIST_LENGTH, _whole_number(request, "count") or 0))
    chats = selectors.conversation_list(principal, before=before, limit=count + 1)
    more_url, shown = "", chats[:count]
    groups = _grouped(shown, _zone(request), continued=request.GET.get("group", ""))
    if len(chats) > count:
        query = urlencode({"before": conversation_cursor(shown[-1]), "group": groups[-1].key})
        more_url = f"{reverse('chat_list')}?{query}"
    return {"chat_groups": groups, "more_url": more_url, "older_than": before}


def _grouped(chats: Iterable[ConversationSummary], zone: tzinfo, continued: str) -> list[ChatGroup]:
    today = datetime.now(zone).date()
    groups: list[ChatGroup] = []
    for chat in chats:
        key, label = _age(chat.last_activity_at.astimezone(zone).date(), today)
        if not groups or groups[-1].key != key:
            groups.append(ChatGroup(key, label, continued=not groups and key == continued, chats=[]))
        groups[-1].chats.append(chat)
    return groups


def _age(day: Any, today: Any) -> tuple[str, str]:
    if day >= today:
        return "today", "Today"
    if day == today - timedelta(days=1):
        return "yesterday", "Yesterday"
    return ("week", "Previous 7 days") if day >= today - timedelta(days=7) else ("older", "Older")


def _zone(request: HttpRequest) -> tzinfo:
    """The reader's time zone, from the cookie that static/js/theme.js sets; UTC where there is none."""
    try:
        cookies = request.COOKIES
        return ZoneInfo(unquote(cookies.get("__Host-timezone") or cookies.get("timezone", "")))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _greeting(principal: Principal, zone: tzinfo) -> str:
    hour = datetime.now(zone).hour
    part = "morning" if 5 <= hour < 12 else "afternoon" if 12 <= hour < 18 else "evening"
    return f"Good {part}, {principal.user_name.split(' ')[0]}"


def _whole_number(request: HttpRequest, name: str) -> int | None:
    value = request.GET.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise InvalidMessage(f"{name}: This is not a number.", fields={name: ["Not a number."]})
    return int(value)
