# syntax=docker/dockerfile:1
# The one binary in a small image. Built with cgo (the SQL parser is Postgres' own), so both stages share a libc.
# cmd/shapebus/deploy_test.go checks this file against the program.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
# Named directories rather than ".", so that no .env or other secret of the build's machine can get in.
COPY cmd cmd
COPY internal internal
COPY pkg pkg
COPY services services
ARG VERSION=
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=1 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/shapebus ./cmd/shapebus

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin shapebus
COPY --from=build /out/shapebus /usr/local/bin/shapebus
USER 10001
ENV SHAPEBUS_LISTEN=:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["shapebus", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["shapebus"]
CMD ["--help"]
