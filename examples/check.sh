#!/usr/bin/env bash
# Compiles the clients of this folder against schema.graphql, and has those that run do their job on a
# fresh server. Needs npm, curl, and what `cargo test` or `cargo build --bins --examples` has built.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug
folder=$(mktemp -d)
server=

clean_up() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap clean_up EXIT

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# The packages of a folder, as its lock file says. What an earlier run installed is kept.
packages() {
    local stamp=$1/node_modules/.package-lock.json
    if [ ! "$stamp" -nt "$1/package-lock.json" ] || [ ! "$stamp" -nt "$1/package.json" ]; then
        npm ci --prefix "$1" --no-audit --no-fund --loglevel=error >"$folder/npm.log" || fail "npm ci fails in $1"
    fi
}

compile() {
    packages examples/typescript
    npm run --prefix examples/typescript --silent build >"$folder/typescript.log" 2>&1 ||
        fail "examples/typescript does not compile:" "$(cat "$folder/typescript.log")"
    packages examples/relay
    npm run --prefix examples/relay --silent compile >"$folder/relay.log" 2>&1 ||
        fail "examples/relay does not compile:" "$(cat "$folder/relay.log")"
}

# start_server [ADDRESS]: sets `URL`, and `KEY` the first time, as a person at a terminal would.
start_server() {
    export KEY URL=
    KEY=${KEY:-$(od -An -tx1 -N24 /dev/urandom | tr -d ' \n')}
    : >"$folder/out"
    (
        cd "$folder"
        exec env -i TOLLKEEP_ADMIN_KEY="$KEY" \
            "$programs/tollkeep" serve --listen "${1:-127.0.0.1:0}" --data-dir data >out 2>log
    ) &
    server=$!
    for _ in $(seq 150); do
        URL=$(sed -n 's/^Listening on //p' "$folder/out" 2>/dev/null) || true
        [ -z "$URL" ] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.2
    done
    fail "the server does not start:" "$(cat "$folder/log")"
}

# ask KEY DOCUMENT: the answer of the server; an answer with errors ends this.
ask() {
    local answer
    answer=$(curl -sS "$URL" -H "authorization: Bearer $1" -H 'content-type: application/json' \
        -d "{\"query\":\"${2//\"/\\\"}\"}")
    [[ $answer != *'"errors"'* ]] || fail "$answer"
    printf '%s\n' "$answer"
}

# The models of which the team may call two.
make_models() {
    local name document=
    for name in claude-sonnet gpt-4o gpt-4o-mini; do
        document+=" ${name//-/_}: modelCreate(input: {name: \"$name\", provider: \"example\"}) { model { id } }"
    done
    ask "$KEY" "mutation {$document }" >"$folder/models"
}

# Gives the team so many names for a model that they do not fit on one page.
make_aliases() {
    local first number document
    for first in $(seq 100 20 180); do
        document=
        for number in $(seq "$first" $((first + 19))); do
            document+=" a$number: teamModelAliasSet(input: {teamId: \"$1\", alias: \"chat-$number\", target: \"gpt-4o\"}) { team { id } }"
        done
        ask "$KEY" "mutation {$document }" >"$folder/aliases"
    done
}

# expect WANTED FOUND: equal but for ids and secrets.
expect() {
    local found
    found=$(sed -E 's/_[0-9a-f]{32}/_ID/g; s/sk-[^ ]+/SECRET/; s/request [^)]+/request ID/' <<<"$2")
    [ "$found" = "$1" ] || fail "wanted:" "$1" "found:" "$found"
}

# output NOTE [ALIASES]: what a client prints of team, project, key and models.
output() {
    cat <<END
team     team_ID ($1)
budget   100 USD per 1mo, 100 left
project  project_ID ($1)
budget   40 USD per 1mo, 40 left
key      key_ID ($1)${2:+
$2}
model    gpt-4o
model    gpt-4o-mini
END
}

# check NAME COMMAND...: the client makes everything once, finds it the second time, and says what is
# wrong when something is.
check() {
    local name=$1 first refused
    shift
    first=$("$@" "$name" 'gpt-4o*')
    expect "secret   SECRET
$(output made)" "$first"
    make_aliases "$name"
    expect "$(output 'was there' "$(seq -f 'model    chat-%g -> gpt-4o' 100 199)")" \
        "$("$@" "$name" 'gpt-4o*')"

    expect "{\"data\":{\"viewer\":{\"apiKey\":{\"externalId\":\"$name-assistant-key\"}}}}" \
        "$(ask "$(sed -n 's/^secret *//p' <<<"$first")" '{ viewer { apiKey { externalId } } }')"

    refused=$("$@" 'two words' 'gpt-4o*' 2>&1) && fail "a bad external id was not refused"
    expect 'BAD_USER_INPUT at input.externalId: leave out spaces and control characters (request ID)' \
        "$refused"
    refused=$(KEY=sk-unknown "$@" "$name" 'gpt-4o*' 2>&1) && fail "a bad key was not refused"
    expect 'UNAUTHENTICATED: a valid API key is required (request ID)' "$refused"
    echo "$name: works"
}

# await_lines FILE COUNT PROCESS OUTPUT: until a process has written more lines than that.
await_lines() {
    until [ -f "$1" ] && [ "$(wc -l <"$1")" -gt "$2" ]; do
        kill -0 "$3" 2>/dev/null || fail "the gateway ended early:" "$(cat "$4")"
        sleep 0.02
    done
}

# A gateway makes calls while the server is killed three times, and is killed itself once: what it
# reports having spent is what was counted, to the last digit, and nothing is held any more.
check_gateway() {
    local address=${URL#http://} base=${URL%/graphql} team client gateway answer killed
    address=${address%%/*}
    team=$(ask "$KEY" 'mutation { teamCreate(input: {name: "gateway", budgets: [{create: {maxSpend: "0.25"}}]}) { team { id } } }')
    team=$(grep -o 'team_[0-9a-f]*' <<<"$team")
    client=$(ask "$KEY" "mutation { apiKeyCreate(input: {kind: SERVICE, teamId: \"$team\"}) { secret } }")
    gateway=$(ask "$KEY" 'mutation { apiKeyCreate(input: {kind: GATEWAY}) { secret } }')
    export CLIENT_KEY GATEWAY_KEY
    CLIENT_KEY=$(grep -o 'sk-[A-Za-z0-9_-]*' <<<"$client")
    GATEWAY_KEY=$(grep -o 'sk-[A-Za-z0-9_-]*' <<<"$gateway")
    URL=$base node examples/gateway.mjs "$folder/calls" 60 >"$folder/killed" 2>&1 &
    killed=$!
    await_lines "$folder/calls" 10 "$killed" "$folder/killed"
    kill -9 "$killed" && wait "$killed" 2>/dev/null || true
    URL=$base node examples/gateway.mjs "$folder/calls" 60 >"$folder/resumed" 2>&1 ||
        fail "the gateway does not go on after it was killed:" "$(cat "$folder/resumed")"
    URL=$base node examples/gateway.mjs "$folder/more" 300 >"$folder/gateway" 2>&1 &
    local running=$!
    for lines in 20 60 100; do
        await_lines "$folder/more" "$lines" "$running" "$folder/gateway"
        kill -9 "$server" && wait "$server" 2>/dev/null || true
        start_server "$address"
    done
    wait "$running" || fail "the gateway fails:" "$(cat "$folder/gateway")"
    answer=$(ask "$KEY" "{ team(id: \"$team\") { budgets { spent reserved } } }")
    [[ $answer == *'"reserved":"0"'* ]] || fail "something is still held: $answer"
    # The first 60 calls cost 0.06177 however often the gateway was started.
    awk -v counted="$(sed -E 's/.*"spent":"([^"]*)".*/\1/' <<<"$answer")" \
        -v reported="$(sed 's/.*spent //' "$folder/gateway")" \
        'BEGIN { exit sprintf("%.9f", counted) != sprintf("%.9f", 0.06177 + reported) }' ||
        fail "counted and reported differ:" "$answer" "$(cat "$folder/resumed" "$folder/gateway")"
    grep -q 'refused [1-9]' "$folder/gateway" || fail "no call met the end of the budget"
    echo "gateway: works"
}

for program in tollkeep examples/provision; do
    [ -x "$programs/$program" ] || fail "$programs/$program is missing: cargo build --bins --examples"
done
compile
start_server
make_models
check typescript node examples/typescript/dist/provision.js
check rust "$programs/examples/provision"
check_gateway
