#!/usr/bin/env bash
# CPU of the proxy process per query, one worker each, SECONDS_EACH (10) of pgbench -S with 16
# clients;
# PgBouncer in session pooling.
source "$(dirname "$0")/stage.sh"
scripts/install postgres pgbouncer
seconds=${SECONDS_EACH:-10}
cluster server; server=$PORT
for database in bench other; do empty "$server" "$database"; done
pgbench -i -q -s 10 -p "$server" bench >/dev/null 2>&1

# measure NAME PID PORT PROTOCOL: notes the CPU of the process per query, in microseconds.
measure() {
    local before queries each
    pgbench -n -S -M "$4" -c 16 -j 1 -T 1 -p "$3" bench >/dev/null 2>&1
    before=$(cpu_us "$2")
    pgbench -n -S -M "$4" -c 16 -j 1 -T "$seconds" -p "$3" bench >"$WORK/pgbench" 2>&1 ||
        { tail -5 "$WORK/pgbench" >&2; exit 1; }
    queries=$(awk '/actually processed/ {print $NF + 0}' "$WORK/pgbench")
    each=$(awk -v c=$(($(cpu_us "$2") - before)) -v n="$queries" 'BEGIN {printf "%.1f", c / n}')
    note "$1-$4" "$each"
    echo "$1, $4: $((queries / seconds)) queries a second, $each us each"
}

bouncer=$(free_port)
cat >"$WORK/server/pgbouncer.ini" <<CONF
[databases]
bench = host=127.0.0.1 port=$server dbname=bench user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $bouncer
unix_socket_dir =
auth_type = any
pool_mode = session
default_pool_size = 64
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
CONF
chmod 644 "$WORK/server/pgbouncer.ini"
(cd "$WORK/server" && as_server taskset -c 0 "$(command -v pgbouncer)" "$WORK/server/pgbouncer.ini") >"$WORK/pgbouncer.log" 2>&1 &
started
wait_for_port "$bouncer" "$WORK/pgbouncer.log"
bouncer_pid=${PIDS[-1]}

port=$(free_port)
cat >"$WORK/plan.yaml" <<PLAN
apiVersion: changeover/v1
kind: Migration
metadata: {name: bench}
source: {postgres: {url: {env: SOURCE_URL}}}
target: {postgres: {url: {env: TARGET_URL}}}
gates: {postgres: {listen: "127.0.0.1:$port", auth: trust}}
PLAN
export SOURCE_URL=postgresql://postgres@127.0.0.1:$server/bench
export TARGET_URL=postgresql://postgres@127.0.0.1:$server/other
taskset -c 0 "$CHANGEOVER" gate "$WORK/plan.yaml" >"$WORK/gate.log" 2>&1 &
started
wait_for_port "$port" "$WORK/gate.log"
gate_pid=${PIDS[-1]}

run_pgbouncer() { for protocol in simple prepared; do measure pgbouncer "$bouncer_pid" "$bouncer" "$protocol"; done; }
run_changeover() { for protocol in simple prepared; do measure changeover "$gate_pid" "$port" "$protocol"; done; }
rounds run_pgbouncer run_changeover
for protocol in simple prepared; do
    compare "PostgreSQL gate, $protocol, CPU us per query; peer: PgBouncer" "changeover-$protocol" "pgbouncer-$protocol"
done
