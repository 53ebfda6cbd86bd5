# One image for everything: web, worker, beat, migrations, bootstrap and the provider simulator differ in their command.

FROM python:3.11-slim AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/requirements.txt
# Every package by hash; nothing is resolved here.
RUN /opt/venv/bin/pip install --require-hashes --no-deps --no-input -r /tmp/requirements.txt

FROM python:3.11-slim
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/var/lib/switchboard
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/switchboard --create-home switchboard
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/switchboard
COPY manage.py LICENSE ./
COPY chatproject chatproject
COPY apps apps
COPY onebox onebox
COPY simulator simulator
COPY templates templates
COPY static static
COPY deploy/bootstrap.py deploy/catalogue.yaml deploy/demo.yaml deploy/
RUN python -m compileall -q apps chatproject onebox simulator
USER switchboard
# So that a volume mounted there belongs to this account.
RUN mkdir --mode 700 /var/lib/switchboard/audit-heads
# Collecting connects to nothing; the values only let the settings load, and none of them is kept.
RUN SECRET_KEY=x VAULT_KEYS=x API_KEY_PEPPER=x \
    DATABASE_URL=postgresql://x@127.0.0.1/x DATABASE_ENGINE_URL=postgresql://x@127.0.0.1/x \
    REDIS_URL=redis://127.0.0.1/0 REDIS_CACHE_URL=redis://127.0.0.1/0 \
    python manage.py collectstatic --noinput
EXPOSE 8000
CMD ["python", "-m", "uvicorn", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--no-server-header", \
     "--log-level", "warning", "--no-proxy-headers", "--timeout-graceful-shutdown", "30", "chatproject.asgi:application"]
