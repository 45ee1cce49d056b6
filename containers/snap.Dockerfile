# SNAP's gpt: what the engine `snap` runs when SKYMEND_SNAP_IMAGE names this image.
# SNAP comes as an installer of ESA's download site (step.esa.int) only. Fetch the Sentinel
# toolboxes' installer for Linux beside this file, then, from the root of the checkout:
#   docker build -f containers/snap.Dockerfile -t skymend-snap .
# Written, never built here: the installer could not be had.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE}
ARG SNAP_INSTALLER=esa-snap_sentinel_linux-11.0.0.sh
SHELL ["/bin/sh", "-euc"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates fontconfig libgfortran5 libgomp1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin skymend
COPY containers/${SNAP_INSTALLER} /tmp/installer.sh
RUN sh /tmp/installer.sh -q -dir /opt/snap \
    && rm -rf /tmp/installer.sh /opt/snap/jre/lib/src.zip
# gpt keeps its caches and orbit files in the user's folder, which is private memory here.
ENV PATH=/opt/snap/bin:$PATH \
    HOME=/tmp
USER 10001:10001
WORKDIR /tmp
CMD ["gpt", "-h"]
