# The Orfeo ToolBox's command line, from Debian: what the engine `otb` runs when SKYMEND_OTB_IMAGE
# names this image. Build it with `scripts/with-docker scripts/build-image otb`.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE}
SHELL ["/bin/sh", "-euc"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends libotb-apps otb-bin proj-data \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin skymend
ENV HOME=/tmp
USER 10001:10001
WORKDIR /tmp
CMD ["otbcli_SARCalibration", "-help"]
