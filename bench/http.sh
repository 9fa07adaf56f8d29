#!/usr/bin/env bash
# CPU of the proxy process per request, one worker each, SECONDS_EACH (10) of wrk with 64
# connections and answers of about 130 bytes. wrk waits for answers, so this says nothing of
# latency: only of CPU.
source "$(dirname "$0")/stage.sh"
scripts/install haproxy wrk
seconds=${SECONDS_EACH:-10} last=$(($(nproc) - 1))
backend=$(free_port) second=$(free_port)
cat >"$WORK/backend.cfg" <<CONF
global
    nbthread 1
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend fixed
    bind 127.0.0.1:$backend
    bind 127.0.0.1:$second
    http-request return status 200 content-type application/json string "{\"id\":17,\"name\":\"Tent 17\",\"kind\":\"tools\",\"price\":\"5.92\",\"price_gross\":\"6.33\",\"labels\":[\"new\",\"sale\"],\"on_hand\":1000017}"
CONF
taskset -c "$last" haproxy -db -f "$WORK/backend.cfg" >"$WORK/backend.log" 2>&1 &
started
wait_for_port "$backend" "$WORK/backend.log"

# measure NAME PID PORT: notes the CPU of the process per request, in microseconds.
measure() {
    local before requests bad each
    taskset -c "$last" wrk -t1 -c64 -d1s "http://127.0.0.1:$3/" >/dev/null
    before=$(cpu_us "$2")
    taskset -c "$last" wrk -t1 -c64 -d"${seconds}s" "http://127.0.0.1:$3/" >"$WORK/wrk"
    requests=$(awk '/requests in/ {print $1}' "$WORK/wrk")
    bad=$(grep -E 'Non-2xx|Socket errors' "$WORK/wrk" || true)
    [[ -z $bad && ${requests:-0} -gt 0 ]] || { echo "$1: $bad" >&2; exit 1; }
    each=$(awk -v c=$(($(cpu_us "$2") - before)) -v n="$requests" 'BEGIN {printf "%.1f", c / n}')
    note "$1" "$each"
    echo "$1: $((requests / seconds)) requests a second, $each us each"
}

port=$(free_port)
cat >"$WORK/proxy.cfg" <<CONF
global
    nbthread 1
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend in
    bind 127.0.0.1:$port
    default_backend out
backend out
    server one 127.0.0.1:$backend
CONF
taskset -c 0 haproxy -db -f "$WORK/proxy.cfg" >"$WORK/haproxy.log" 2>&1 &
started
wait_for_port "$port" "$WORK/haproxy.log"
haproxy_pid=${PIDS[-1]} haproxy_port=$port

port=$(free_port)
cat >"$WORK/plan.yaml" <<PLAN
apiVersion: changeover/v1
kind: Migration
metadata: {name: bench}
source: {http: {upstreams: ["http://127.0.0.1:$backend"]}}
target: {http: {upstreams: ["http://127.0.0.1:$second"]}}
gates: {http: {listen: "127.0.0.1:$port"}}
PLAN
# On one core the gate has one worker.
taskset -c 0 "$CHANGEOVER" gate "$WORK/plan.yaml" >"$WORK/gate.log" 2>&1 &
started
wait_for_port "$port" "$WORK/gate.log"
gate_pid=${PIDS[-1]} gate_port=$port

run_haproxy() { measure haproxy "$haproxy_pid" "$haproxy_port"; }
run_changeover() { measure changeover "$gate_pid" "$gate_port"; }
rounds run_haproxy run_changeover
compare 'HTTP gate, CPU us per request; peer: HAProxy' changeover haproxy
