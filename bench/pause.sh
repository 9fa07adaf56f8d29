#!/usr/bin/env bash
# The pause at the cutover, from ROUNDS (3) demos (200 requests a second, 30 % of them writes):
# what the run reports, and the slowest write that any client saw in the whole demo, counted from
# when it was due. There is no peer: what people do today is a maintenance page.
source "$(dirname "$0")/stage.sh"
scripts/install postgres
for round in $(seq "${ROUNDS:-3}"); do
    "$BUILT/changeover-demo" --out "target/bench/demo-$round" >"target/bench/demo-$round.log" 2>&1 ||
        { tail -20 "target/bench/demo-$round.log" >&2; exit 1; }
    summary=target/bench/demo-$round/summary.json
    number() { grep -m1 "\"$1\":" "$summary" | grep -oE '[0-9.]+' | head -1; }
    grep -q '"authority": "green"' "$summary" || { echo "demo $round: no cutover took place" >&2; exit 1; }
    note pause "$(number write_pause_ms_max)"
    note slowest "$(number slowest_write_ms)"
    note copy "$(number copy_seconds)"
    echo "demo $round: writes paused for $(number write_pause_ms_max) ms, slowest write $(number slowest_write_ms) ms," \
        "copy $(number copy_seconds) s"
done
{
    printf '| pause of writes at the cutover, ms | %s / %s | none | |\n' "$(least pause)" "$(median pause)"
    printf '| slowest write of the demo, ms | %s / %s | none | |\n' "$(least slowest)" "$(median slowest)"
} | tee -a "$RESULTS"
