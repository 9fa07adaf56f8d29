# Sourced by the benchmarks: a folder, clusters, processes that end with us, and CPU time.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BUILT=${CARGO_TARGET_DIR:-target}/release
CHANGEOVER=$PWD/$BUILT/changeover
[[ $BUILT = /* ]] && CHANGEOVER=$BUILT/changeover
WORK=$(mktemp -d "${TMPDIR:-/tmp}/changeover-bench-XXXXXX")
chmod 711 "$WORK"
export XDG_STATE_HOME=$WORK/state PGUSER=postgres PGHOST=127.0.0.1 CHANGEOVER_BENCH=$WORK
export PATH="$PATH:/usr/sbin:/sbin"
PIDS=()

# Ends what we started (also daemons that detached: they carry our mark), then the folder.
clean_up() {
    local pid
    for pid in "${PIDS[@]}"; do kill -QUIT "$pid" 2>/dev/null || true; done
    for _ in 1 2 3; do
        for pid in $(marked); do kill -KILL "$pid" 2>/dev/null || true; done
    done
    for pid in "${PIDS[@]}"; do
        for _ in $(seq 100); do [[ -d /proc/$pid ]] || break; sleep 0.05; done
    done
    rm -rf "$WORK"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

marked() {
    local environ pid
    for environ in /proc/[0-9]*/environ; do
        pid=${environ//[!0-9]/}
        [[ $pid = "$$" || $pid = "$BASHPID" ]] && continue
        [[ $(tr '\0' '\n' 2>/dev/null <"$environ" | grep -c "^CHANGEOVER_BENCH=$WORK$") = 1 ]] || continue
        # PostgreSQL was asked to leave already and removes its shared memory.
        [[ $(readlink "/proc/$pid/exe" 2>/dev/null) = */postgres ]] && continue
        [[ $(ps -o ppid= -p "$pid" 2>/dev/null | tr -d ' ') = "$BASHPID" ]] && continue
        echo "$pid"
    done
}

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
    done
}

wait_for_port() {
    local _
    for _ in $(seq 200); do
        if (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.05
    done
    echo "nothing listens on port $1" >&2
    [[ -n ${2:-} ]] && tail -5 "$2" >&2
    return 1
}

pg_bin() { printf '%s\n' "${CHANGEOVER_PG_BIN:-}" /usr/lib/postgresql/*/bin | grep . | sort -V | tail -1; }

server_user() { if getent passwd postgres >/dev/null; then echo postgres; else echo nobody; fi; }

# as_server PROGRAM ...: not as root, which PostgreSQL and PgBouncer refuse.
as_server() {
    if ((EUID == 0)); then
        exec setpriv --reuid "$(server_user)" --regid "$(server_user)" --clear-groups --pdeathsig QUIT -- "$@"
    fi
    exec setpriv --pdeathsig QUIT -- "$@"
}

# cluster NAME: starts one that flushes to disk; its port is in PORT.
cluster() {
    local data=$WORK/$1/data bin
    bin=$(pg_bin)
    mkdir -p "$WORK/$1"
    ((EUID)) || chown "$(server_user)" "$WORK/$1"
    (cd "$WORK/$1" && as_server "$bin/initdb" -U postgres -A trust --locale=C.UTF-8 --no-sync -D "$data") >/dev/null
    PORT=$(free_port)
    cat >>"$data/postgresql.conf" <<-CONF
	listen_addresses = '127.0.0.1'
	unix_socket_directories = ''
	port = $PORT
	wal_level = logical
	max_wal_senders = 20
	max_replication_slots = 20
	max_connections = ${CONNECTIONS:-200}
	shared_buffers = 256MB
	max_wal_size = 8GB
	checkpoint_timeout = 30min
	wal_sender_timeout = 0
	log_min_messages = fatal
	CONF
    (cd "$WORK/$1" && as_server "$bin/postgres" -D "$data") >"$WORK/$1/log" 2>&1 &
    started
    wait_for_port "$PORT" "$WORK/$1/log"
    until psql -XAtqc 'SELECT 1' -p "$PORT" postgres >/dev/null 2>&1; do sleep 0.05; done
}

# started: remembers the process just put into the background.
started() {
    PIDS+=($!)
    disown
}

sql() { PGOPTIONS='-c client_min_messages=warning' psql -XAtq -v ON_ERROR_STOP=1 -p "$1" -d "$2" -c "$3"; }

# empty PORT DATABASE: a new database of that name.
empty() {
    sql "$1" postgres "DROP DATABASE IF EXISTS $2"
    sql "$1" postgres "CREATE DATABASE $2"
}

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.2f", b - a}'; }

# cpu_us PID: user and system time of a process and all its threads, in microseconds.
cpu_us() {
    awk -v hz="$(getconf CLK_TCK)" '{sub(/^.*\) /, ""); print int(($12 + $13) * 1000000 / hz)}' "/proc/$1/stat"
}

# note WHAT VALUE: one round's number.
note() { echo "$2" >>"$WORK/$1.values"; }
least() { sort -g "$WORK/$1.values" | head -1; }
median() { sort -g "$WORK/$1.values" | awk '{v[NR] = $1} END {h = int((NR + 1) / 2); print NR % 2 ? v[h] : (v[h] + v[h + 1]) / 2}'; }

# rounds RUN ...: calls every RUN once in each of ROUNDS (3) rounds; every other round backwards,
# so that none of them always follows the same one.
rounds() {
    local round name
    for round in $(seq "${ROUNDS:-3}"); do
        local order=("$@")
        if ((round % 2 == 0)); then mapfile -t order < <(printf '%s\n' "$@" | tac); fi
        for name in "${order[@]}"; do "$name"; done
    done
}

# compare WHAT OURS PEER: a line of the result from what was noted under both names.
compare() {
    awk -v what="$1" -v om="$(least "$2")" -v od="$(median "$2")" -v pm="$(least "$3")" -v pd="$(median "$3")" 'BEGIN {
        printf "| %s | %s / %s | %s / %s | %.2f / %.2f |\n", what, om, od, pm, pd, (pm + 0 ? om / pm : 0), (pd + 0 ? od / pd : 0)
    }' | tee -a "$RESULTS"
}
