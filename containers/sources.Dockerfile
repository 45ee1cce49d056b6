# The image of the step `fetch`: the core image, and the providers' own clients beside it.
# Build it with `scripts/with-docker scripts/build-image sources`, or on a core image that is there:
#   docker build -f containers/sources.Dockerfile -t skymend-sources .
ARG BASE_IMAGE=skymend-core

FROM ${BASE_IMAGE} AS build
SHELL ["/bin/sh", "-euc"]
# hadolint ignore=DL3002
USER 0
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-pip \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
WORKDIR /build
COPY containers/sources-requirements.txt .
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=certificates \
    --mount=type=cache,target=/var/cache/pip \
    export PIP_CACHE_DIR=/var/cache/pip; \
    if [ -s /run/secrets/certificates ]; then export PIP_CERT=/run/secrets/certificates; fi; \
    /usr/bin/python3 -m pip install --disable-pip-version-check --no-compile --no-deps \
        --only-binary :all: --require-hashes --target /opt/sources -r sources-requirements.txt \
    && find /opt/sources -type d \( -name tests -o -name test -o -name __pycache__ \) -prune -exec rm -rf {} + \
    && find /opt/sources -name '*.pyi' -delete \
    && { python3 -m compileall -q -j 0 /opt/sources || true; }

FROM ${BASE_IMAGE}
COPY --from=build /opt/sources /opt/sources
ENV PYTHONPATH=/opt/sources
