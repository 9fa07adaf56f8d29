#!/usr/bin/env bash
# A cutover and a rollback under CLIENTS (500) sessions of the PostgreSQL gate, 285 writes a second
# in all: what the run reports, and the slowest write of any client, counted from when it was due.
# There is no peer: what people do today is to restart their applications.
source "$(dirname "$0")/stage.sh"
scripts/install postgres
clients=${CLIENTS:-500}
CONNECTIONS=$((clients + 200))
cluster source; from=$PORT
cluster target; to=$PORT
port=$(free_port)
export SOURCE_URL=postgresql://postgres@127.0.0.1:$from/bench
export TARGET_URL=postgresql://postgres@127.0.0.1:$to/bench
cat >"$WORK/plan.yaml" <<PLAN
apiVersion: changeover/v1
kind: Migration
metadata: {name: bench}
source: {postgres: {url: {env: SOURCE_URL}}}
target: {postgres: {url: {env: TARGET_URL}}}
gates: {postgres: {listen: "127.0.0.1:$port", auth: trust}}
objectives: {write_pause: ${PAUSE:-2s}}
PLAN
echo "INSERT INTO written (by) VALUES (:client_id);" >"$WORK/write.sql"

# slowest FILES ...: the slowest transaction of these logs, in milliseconds, and how many there were.
slowest() { cat "$@" | awk '$3 > most {most = $3} END {printf "%.0f %d\n", most / 1000, NR}'; }
figure() { "$CHANGEOVER" status "$WORK/plan.yaml" --json | grep -oE "\"$1\":[0-9]+" | head -1 | cut -d: -f2; }

# under NAME PORT VERB ...: the verb, while all clients write, on the server at this port at first.
under() {
    local name=$1 line begun
    begun=$(sql "$2" bench 'SELECT now()')
    rm -f "$WORK/$name".*
    (cd "$WORK" && exec pgbench -n -c "$clients" -j 2 -R 285 -T 600 -f write.sql -l --log-prefix="$name" -p "$port" bench) >"$WORK/$name.out" 2>&1 &
    local load=$!
    until (($(sql "$2" bench "SELECT count(DISTINCT by) FROM written WHERE at > '$begun'") >= clients * 9 / 10)); do sleep 0.2; done
    "$CHANGEOVER" --yes "${@:3}" >"$WORK/verb.log" 2>&1 || { tail -30 "$WORK/verb.log" >&2; exit 1; }
    sleep 5
    kill -INT "$load"; wait "$load" || true
    ! grep -i 'error\|abort' "$WORK/$name.out" || exit 1
    line=$(slowest "$WORK/$name".*[0-9])
    note "$name-pause" "$(figure write_pause_ms_max)"
    note "$name-slowest" "${line% *}"
    echo "$name: writes paused for $(figure write_pause_ms_max) ms, longest wait $(figure longest_wait_ms) ms, slowest write ${line% *} ms of ${line#* }"
    grep -i 'called off\|attempt' "$WORK/verb.log" | tail -3 || true
}

run() {
    empty "$to" bench
    empty "$from" bench
    sql "$from" bench 'CREATE TABLE written (id bigserial PRIMARY KEY, by int NOT NULL, at timestamptz DEFAULT now())'
    "$CHANGEOVER" gate "$WORK/plan.yaml" >"$WORK/gate.log" 2>&1 &
    local gate=$!
    wait_for_port "$port" "$WORK/gate.log"
    under cutover "$from" apply "$WORK/plan.yaml"
    under rollback "$to" rollback "$WORK/plan.yaml"
    "$CHANGEOVER" --yes abort "$WORK/plan.yaml" >"$WORK/abort.log" 2>&1 || { tail -20 "$WORK/abort.log" >&2; exit 1; }
    kill "$gate"; wait "$gate" || true
    rm -rf "$XDG_STATE_HOME"
}
rounds run
for name in cutover rollback; do
    printf '| %s under %s sessions: pause of writes, ms | %s / %s | none | |\n' "$name" "$clients" "$(least $name-pause)" "$(median $name-pause)"
    printf '| %s under %s sessions: slowest write, ms | %s / %s | none | |\n' "$name" "$clients" "$(least $name-slowest)" "$(median $name-slowest)"
done | tee -a "$RESULTS"
