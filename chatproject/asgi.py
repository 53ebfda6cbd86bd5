"""The ASGI application: the stateless doors and Django for HTTP, Channels for WebSockets, `lifespan` answered."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator, WebsocketDenier
from django.conf import settings

from apps.routing.edge.gateway.application import BesideDjango
from apps.routing.edge.gateway.keyed import finish_all
from apps.routing.services import load_litellm
from apps.routing.stateless.call import settle_all
from apps.tenants.edge.client_address import ForwardedByProxies
from apps.tenants.guard import refuse_unsafe_roles
from chatproject.collector import leave_out_what_stays
from chatproject.websocket_urls import urlpatterns

refuse_unsafe_roles()
if settings.GATEWAY_LITELLM:
    load_litellm()
leave_out_what_stays()


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        ends = message["type"] == "lifespan.shutdown"
        if ends:
            await finish_all()
            await settle_all()
        await send({"type": f"{message['type']}.complete"})
        if ends:
            return


_routes = URLRouter(urlpatterns)
_from_known_pages = AllowedHostsOriginValidator(_routes)


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """A page must be one of ours. A program sends no Origin, and has to send a token: no cookie counts without one.

    Where people come over HTTPS, both come over it.
    """
    if settings.SECURE_SSL_REDIRECT and scope.get("scheme", "ws") == "ws":
        # Its token or cookie has crossed the network in the open; a redirect would only hide that.
        await WebsocketDenier()(scope, receive, send)
        return
    from_a_page = any(name == b"origin" for name, _ in scope["headers"])
    await (_from_known_pages if from_a_page else _routes)(scope, receive, send)


application = ForwardedByProxies(
    ProtocolTypeRouter(
        {
            "http": BesideDjango(django_application),
            "websocket": websocket,
            "lifespan": lifespan,
        }
    ),
    settings.TRUSTED_PROXIES,
)
