# The production image: one binary that runs as nobody in particular.

# The version of rust-toolchain.toml, which stays outside so that nothing more is fetched.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
# What was compiled before is kept beside the image, so that a change of ours does not compile the libraries again.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked && cp target/dist/checkout-backend /checkout-backend

FROM debian:bookworm-slim
# Certificates and time zones are in the binary: nothing is installed.
RUN install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /checkout-backend /usr/local/bin/checkout-backend
USER 10001:10001
WORKDIR /
VOLUME /data
# A container is reached from outside itself; who may reach the container is said where it is run.
ENV APP_ENV=production HOST=0.0.0.0 PORT=4242
EXPOSE 4242
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD \
    ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /readyz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["checkout-backend"]
CMD ["serve"]
