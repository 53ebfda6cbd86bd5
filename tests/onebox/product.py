"""A stand-in product: the smallest tree of files that `Stack` can run, without Django and its database."""

from pathlib import Path

FILES = {
    "requirements.txt": "",
    "static/app.css": "body {}",
    "chatproject/__init__.py": "",
    "chatproject/settings.py": "",
    "chatproject/asgi.py": """
import asyncio, os

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = str(os.getpid()).encode()
    if scope["path"] == "/environment":
        body = "\\n".join(f"{key}={value}" for key, value in os.environ.items()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
""",
    "chatproject/celery.py": """
import os
from celery import Celery
app = Celery("chatproject", broker=os.environ["REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True
""",
    "simulator/__init__.py": "",
    "simulator/__main__.py": """
import http.server, socket, sys
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(sys.argv[2]))
server.serve_forever()
""",
    "manage.py": """
import json, os, sys
from pathlib import Path
with open(os.environ["DATA_DIR"] + "/managed", "a") as file:
    file.write(" ".join(sys.argv[1:2]) + "\\n")
if sys.argv[1] == "migrate":
    import psycopg
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS django_migrations (id serial PRIMARY KEY)")
        connection.execute("INSERT INTO django_migrations DEFAULT VALUES")
if sys.argv[1] == "collectstatic":
    Path(os.environ["DATA_DIR"], "static").mkdir(exist_ok=True)
if sys.argv[1] == "seed_demo":
    names = ("email", "password", "admin_email", "admin_password", "api_key")
    Path(sys.argv[3]).write_text(json.dumps({name: f"the-{name}" for name in names}))
if sys.argv[1] == "fail":
    sys.exit("it went wrong")
""",
    "apps/billing/migrations/0001_initial.py": "",
}


def write(root: Path) -> Path:
    """Write the tree and return its root."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
