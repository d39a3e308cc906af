# heddle as a container beside HAProxy's. docker-compose.yml puts the two together.
#
# Both base images are pinned. To move on, write the new tags here and, of HAProxy, in haproxy/Dockerfile as well (a test sees
# to it that they agree), then build both again. heddle works with HAProxy 2.6, 3.0 and 3.2, and with Node.js from 20.19 on.
ARG NODE_IMAGE=node:24.21.0-trixie-slim
ARG HAPROXY_IMAGE=haproxy:3.2.25

# heddle checks every configuration with the very HAProxy that will run it
FROM ${HAPROXY_IMAGE} AS haproxy
USER root
COPY containers/collect /tmp/collect
RUN sh /tmp/collect /opt/haproxy

FROM ${NODE_IMAGE} AS build
WORKDIR /opt/heddle
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM ${NODE_IMAGE}
ARG NODE_IMAGE
LABEL org.opencontainers.image.title="heddle" \
      org.opencontainers.image.description="Keeps HAProxy on port 80 in step with a Consul catalog of weave containers" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.base.name="${NODE_IMAGE}"
WORKDIR /opt/heddle
COPY --from=haproxy /opt/haproxy /opt/haproxy
COPY containers/haproxy /usr/local/bin/haproxy
COPY --from=build /opt/heddle/package.json ./
COPY --from=build /opt/heddle/node_modules ./node_modules
COPY --from=build /opt/heddle/dist ./dist
COPY LICENSE ./
COPY templates ./templates
COPY page ./page
COPY haproxy/bootstrap ./haproxy/bootstrap
COPY demo ./demo
COPY containers ./containers
# the modes of a clone are whatever its owner's umask made of them
RUN chmod -R a+rX LICENSE package.json templates page haproxy demo containers /usr/local/bin/haproxy \
    && sh containers/folders \
    && chmod +x dist/cli.js \
    && ln -s /opt/heddle/dist/cli.js /usr/local/bin/heddle

# The stats socket of HAProxy is for the group that both are in.
ENV NODE_ENV=production \
    HEDDLE_HAPROXY_SOCKET_GID=10000
# heddle has a user of its own, which nobody else may write as. The group is shared with HAProxy.
USER 10001:10000
RUN haproxy -v && heddle --version
EXPOSE 8480
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["node", "/opt/heddle/containers/healthy.mjs"]
ENTRYPOINT ["node", "/opt/heddle/dist/cli.js"]
CMD ["run"]
