#!/usr/bin/env bash
# The pause at the cutover, from RUNS (3) demos: what the run reports, and the slowest write that
# any client saw, counted from when it was due.
source "$(dirname "$0")/stage.sh"
scripts/install postgres
for run in $(seq "${RUNS:-3}"); do
    "$BUILT/changeover-demo" --out "target/bench/demo-$run" >"target/bench/demo-$run.log" 2>&1 ||
        { tail -20 "target/bench/demo-$run.log" >&2; exit 1; }
    summary=target/bench/demo-$run/summary.json
    number() { grep -m1 "\"$1\":" "$summary" | grep -oE '[0-9.]+' | head -1; }
    pause=$(number write_pause_ms_max) slowest=$(number slowest_write_ms)
    echo "run $run: $pause ms, slowest write $slowest ms"
    row "pause of writes at the cutover, demo $run: ms (beside it: the slowest write)" "$pause" "$slowest" '-'
done
