# The agent, Node, nsenter and their libraries; no shell, no package manager. Build it with scripts/image, which makes
# dist/ first. In production name the Node image by its digest: --node-image docker.io/library/node@sha256:…
ARG NODE_IMAGE=docker.io/library/node:24-bookworm-slim

FROM ${NODE_IMAGE} AS parts
COPY scripts/image-root /tmp/image-root
RUN ["/bin/bash", "/tmp/image-root", "/image", "/usr/local/bin/node", "/usr/bin/nsenter"]

FROM scratch
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kubelet-sysctl-agent" \
      org.opencontainers.image.description="Allows unsafe sysctls on kubelets, and never leaves a node worse than it was" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=parts /image /
COPY LICENSE /usr/share/doc/kubelet-sysctl-agent/LICENSE
COPY dist/kubelet-sysctl-agent.cjs /usr/lib/kubelet-sysctl-agent/kubelet-sysctl-agent.cjs
COPY scripts/image-command /usr/bin/kubelet-sysctl-agent

# One arena that gives memory back, one thread for files: what keeps the agent small (docs/performance.md).
ENV PATH=/usr/local/bin:/usr/bin \
    KSA_ROOT=/host \
    MALLOC_ARENA_MAX=1 \
    MALLOC_TRIM_THRESHOLD_=65536 \
    UV_THREADPOOL_SIZE=1
# V8's part of the same; NODE_OPTIONS refuses some of these.
ENTRYPOINT ["/usr/local/bin/node", "--jitless", "--expose-gc", "--optimize-for-size", "--v8-pool-size=0", "--max-semi-space-size=1", "/usr/lib/kubelet-sysctl-agent/kubelet-sysctl-agent.cjs"]
CMD ["run", "--root=/host"]
