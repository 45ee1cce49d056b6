# S1Tiling with OTB 9 and its extra modules: what the engine `s1tiling` runs when
# SKYMEND_S1TILING_IMAGE names this image. It is S1Tiling's own image under our user; its entry
# point is S1Processor, and the engine hands over the configuration alone.
#   docker build -f containers/s1tiling.Dockerfile -t skymend-s1tiling .
# Written, never built here: the registry of that image could not be reached.
ARG BASE_IMAGE=cnes/s1tiling:1.4.2-ubuntu-otb9.1.1

FROM ${BASE_IMAGE}
ENV HOME=/tmp
USER 10001:10001
WORKDIR /tmp
