#!/usr/bin/env bash
# Copy of a pgbench database (SCALE, 50): Changeover beside pg_dump | psql and pgcopydb.
# Each includes schema, rows, indexes and constraints, into an empty database.
source "$(dirname "$0")/stage.sh"
scripts/install postgres pgcopydb
scale=${SCALE:-50}
cluster source; from=$PORT
cluster target; to=$PORT
empty "$from" bench
pgbench -i -q -s "$scale" -p "$from" bench >/dev/null 2>&1
sql "$from" bench 'VACUUM ANALYZE' && sql "$from" bench 'CHECKPOINT'
source_url=postgresql://postgres@127.0.0.1:$from/bench
target_url=postgresql://postgres@127.0.0.1:$to/bench

same() {
    local count='SELECT count(*), sum(abalance) FROM pgbench_accounts'
    [[ $(sql "$from" bench "$count") = "$(sql "$to" bench "$count")" ]] || { echo "$1: not the same rows" >&2; exit 1; }
}
fresh() { empty "$to" bench; sql "$to" bench 'CHECKPOINT'; }

fresh
start=$(now)
pg_dump "$source_url" | psql -Xq -v ON_ERROR_STOP=1 "$target_url" >/dev/null
dump=$(since "$start"); same 'pg_dump | psql'
echo "pg_dump | psql: $dump s"

fresh
start=$(now)
pgcopydb clone --source "$source_url" --target "$target_url" --dir "$WORK/pgcopydb" \
    --table-jobs 4 --index-jobs 4 >"$WORK/pgcopydb.log" 2>&1 || { tail -5 "$WORK/pgcopydb.log" >&2; exit 1; }
pgcopydb=$(since "$start"); same pgcopydb
echo "pgcopydb: $pgcopydb s"

fresh
cat >"$WORK/plan.yaml" <<PLAN
apiVersion: changeover/v1
kind: Migration
metadata: {name: bench}
source: {postgres: {url: {env: SOURCE_URL}}}
target: {postgres: {url: {env: TARGET_URL}}}
phases:
  - {name: copy, steps: [replicate]}
PLAN
export SOURCE_URL=$source_url TARGET_URL=$target_url
start=$(now)
"$CHANGEOVER" apply "$WORK/plan.yaml" >"$WORK/apply.log" 2>&1 || { tail -20 "$WORK/apply.log" >&2; exit 1; }
ours=$(since "$start"); same changeover
echo "changeover: $ours s"

row "copy, pgbench scale $scale: s, beside pg_dump \\| psql" "$ours" "$dump" "$(ratio "$ours" "$dump")"
row "copy, pgbench scale $scale: s, beside pgcopydb" "$ours" "$pgcopydb" "$(ratio "$ours" "$pgcopydb")"
