#!/usr/bin/env bash
# Copy of a pgbench database (SCALE, 50): Changeover beside pg_dump | psql and pgcopydb.
# Each includes schema, rows, indexes, constraints and ANALYZE, into an empty database;
# Changeover's also the slot, the seal of the target and the follower that is running at its end.
source "$(dirname "$0")/stage.sh"
scripts/install postgres pgcopydb
scale=${SCALE:-50}
cluster source; from=$PORT
cluster target; to=$PORT
empty "$from" bench
pgbench -i -q -s "$scale" -p "$from" bench >/dev/null 2>&1
# Without a key it cannot be followed; nothing is in it, so it weighs nothing.
sql "$from" bench 'ALTER TABLE pgbench_history REPLICA IDENTITY FULL'
sql "$from" bench 'VACUUM ANALYZE' && sql "$from" bench 'CHECKPOINT'
export SOURCE_URL=postgresql://postgres@127.0.0.1:$from/bench
export TARGET_URL=postgresql://postgres@127.0.0.1:$to/bench
cat >"$WORK/plan.yaml" <<PLAN
apiVersion: changeover/v1
kind: Migration
metadata: {name: bench}
source: {postgres: {url: {env: SOURCE_URL}}}
target: {postgres: {url: {env: TARGET_URL}}}
phases:
  - {name: copy, steps: [replicate]}
PLAN

same() {
    local count='SELECT count(*), sum(abalance) FROM pgbench_accounts'
    [[ $(sql "$from" bench "$count") = "$(sql "$to" bench "$count")" ]] || { echo "$1: not the same rows" >&2; exit 1; }
}
fresh() { empty "$to" bench; sql "$to" postgres 'CHECKPOINT'; sync; }
# took NAME START: the round's number of a copy that is over.
took() {
    local seconds
    seconds=$(since "$2")
    same "$1"
    note "$1" "$seconds"
    echo "$1: $seconds s"
}

run_pg_dump() {
    fresh
    local start; start=$(now)
    pg_dump "$SOURCE_URL" | psql -Xq -v ON_ERROR_STOP=1 "$TARGET_URL" >/dev/null
    sql "$to" bench ANALYZE
    took pg_dump "$start"
}
run_pgcopydb() {
    fresh
    rm -rf "$WORK/pgcopydb"
    local start; start=$(now)
    pgcopydb clone --source "$SOURCE_URL" --target "$TARGET_URL" --dir "$WORK/pgcopydb" \
        --table-jobs 4 --index-jobs 4 >"$WORK/pgcopydb.log" 2>&1 || { tail -5 "$WORK/pgcopydb.log" >&2; exit 1; }
    took pgcopydb "$start"
}
run_changeover() {
    fresh
    local start; start=$(now)
    "$CHANGEOVER" apply "$WORK/plan.yaml" >"$WORK/apply.log" 2>&1 || { tail -20 "$WORK/apply.log" >&2; exit 1; }
    took changeover "$start"
    "$CHANGEOVER" --yes abort "$WORK/plan.yaml" >"$WORK/abort.log" 2>&1 || { tail -20 "$WORK/abort.log" >&2; exit 1; }
    rm -rf "$XDG_STATE_HOME"
}

rounds run_pg_dump run_pgcopydb run_changeover
compare "copy, pgbench scale $scale, seconds; peer: pg_dump \\| psql" changeover pg_dump
compare "copy, pgbench scale $scale, seconds; peer: pgcopydb" changeover pgcopydb
