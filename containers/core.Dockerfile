# The core image: every step that needs neither TensorFlow, nor a provider's client, nor an
# orchestrator. proj-data holds the geoid that radar images are placed with; ca-certificates are
# for stores in a bucket.
# Build it with `make container-image`, or where a registry can be reached:
#   make wheel && docker build -f containers/core.Dockerfile -t skymend-core .
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS python
SHELL ["/bin/sh", "-euc"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 proj-data \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

# The machine's pip settings and certificates come as secrets: they enter no layer.
FROM python AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-pip python3-venv \
    && python3 -m venv /opt/skymend
WORKDIR /build
COPY containers/core-requirements.txt .
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=certificates \
    --mount=type=cache,target=/var/cache/pip \
    export PIP_CACHE_DIR=/var/cache/pip; \
    if [ -s /run/secrets/certificates ]; then export PIP_CERT=/run/secrets/certificates; fi; \
    /opt/skymend/bin/pip install --disable-pip-version-check --no-compile --no-deps \
        --only-binary :all: --require-hashes -r core-requirements.txt
COPY dist/ dist/
RUN /opt/skymend/bin/pip install --no-index --no-deps --no-compile dist/skymend-*.whl \
    && /opt/skymend/bin/pip uninstall -y -q pip setuptools \
    && find /opt/skymend -type d \( -name tests -o -name test -o -name __pycache__ \) -prune -exec rm -rf {} + \
    && find /opt/skymend -name '*.pyi' -delete \
    && { python3 -m compileall -q -j 0 /opt/skymend/lib || true; }

FROM python
COPY --from=build /opt/skymend /opt/skymend
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin skymend
# Caches go to the private /tmp: everything else is read-only.
ENV PATH=/opt/skymend/bin:$PATH \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["skymend"]
CMD ["--help"]
