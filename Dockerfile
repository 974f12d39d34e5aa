# The image that runs jobs, and nothing else: `make image`. docker, podman and buildah read it alike.
# BASE is any Debian image with Python >= 3.11; pin it for a build that never changes: python:3.13-slim-bookworm@sha256:…
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
# `traces` adds ddtrace, 44 MB that most tasks have no use for: make image EXTRAS=traces. It needs libstdc++6, which the default base has.
ARG EXTRAS=
COPY requirements.lock requirements-traces.lock /opt/
# Wheels only: what has none for this platform stops the build instead of asking for a compiler.
RUN python3 -m venv /opt/build \
 && python3 -m venv --without-pip /opt/venv \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --quiet \
    --no-compile --only-binary :all: --require-hashes --requirement "/opt/requirements${EXTRAS:+-$EXTRAS}.lock"
WORKDIR /app
COPY worker/ worker/
COPY jobs/ jobs/
# Unchecked: the byte code is made from the source beside it, and file times do not survive every registry.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib /app \
 && chmod -R a+rX,go-w /app /opt/venv

FROM ${BASE}
# The user has a name because libraries ask for it; nothing that installs stays, in the official layout or Debian's. What Debian
# has installed (/var/lib/dpkg) is still known to scanners.
RUN useradd --uid 10001 --user-group --no-create-home --no-log-init --home-dir /nonexistent --shell /usr/sbin/nologin worker \
 && rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
    /usr/lib/python3*/ensurepip /usr/share/python-wheels /usr/bin/apt* /usr/bin/dpkg*
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "worker"]
# Last, so that a new version changes no layer above.
ARG VERSION=unknown
ARG REVISION=unknown
ARG BASE
ENV DD_VERSION=${VERSION}
LABEL org.opencontainers.image.title="ecs-batch-worker" \
      org.opencontainers.image.description="A batch worker that runs once as an ECS task, does all the work, and says how it went." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
