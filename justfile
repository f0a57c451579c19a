# One line a habit. Each recipe is one plain command, so nothing needs just.

# Starts the server on the embedded default.
serve:
    cargo run --release -- serve

# Formats.
fmt:
    cargo fmt --all

# Lints as CI does.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Runs the tests, or those that match.
test filter="":
    cargo test --workspace {{filter}}

# Writes schema.graphql.
schema:
    cargo run --quiet -- schema > schema.graphql

# Writes the committed texts that tests compare.
snapshots:
    UPDATE_SNAPSHOTS=1 cargo test --test it

# Compiles the example clients and runs them against a server.
clients:
    cargo build --bins --examples && examples/check.sh

# Everything that CI runs.
ci:
    .ci/run
