# `just` lists what can be done here; each is also one line to type by hand.

[private]
default:
    @just --list

# The service with a simulated Stripe, at http://localhost:4242
run:
    cargo run --release

# Every test, or the integration tests whose names contain NAMES
test *NAMES:
    ./test {{NAMES}}

# Everything that is released: archive, image, SBOM, completions, checksums
dist:
    deploy/dist

# The tests of the database on other majors of PostgreSQL: `just majors 15 16`
majors *MAJORS:
    deploy/postgres-majors {{MAJORS}}

# What must hold before a change lands
ci:
    .ci/run

# Formatting and lints alone
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# A fresh file for a schema change: `just migration refund_notes`
migration NAME:
    @next=$(printf '%04d' $(($(ls crates/store/migrations | tail -n 1 | cut -c 1-4 | sed 's/^0*//') + 1))); \
    touch "crates/store/migrations/${next}_{{NAME}}.sql" && echo "crates/store/migrations/${next}_{{NAME}}.sql"

# Durable webhooks a second beside pgbench; takes some minutes
bench:
    cargo bench --bench webhooks

# PostgreSQL and the service in containers
up:
    docker compose up --build
