"""asyncpg: codecs by type; prepared statements that live on."""
import asyncio
import os
import sys

import asyncpg


async def connect():
    connection = await asyncpg.connect(os.environ["GATE"])
    await connection.set_builtin_type_codec("hstore", codec_name="pg_contrib.hstore")
    return connection


async def check(name, connection):
    row = await connection.fetchrow("SELECT h, c, cs, m, ms, p, s FROM t WHERE m = $1::mood", "fine")
    found = (row["h"], row["c"], row["cs"], row["m"], row["ms"], tuple(row["p"]), row["s"].lower)
    expected = ({"k": "v"}, "C", ["A", "b"], "fine", ["sad", "fine"], (1, "sad"), 1.0)
    if found != expected:
        raise SystemExit(f"FAILED {name}: {found!r}")


async def main():
    used, idle = await connect(), await connect()
    await check("before", used)
    print("ready", asyncpg.__version__, flush=True)
    for _ in range(2):
        await asyncio.to_thread(sys.stdin.readline)
        await check("used before", used)
        await check("idle before", idle)
        await check("new", await connect())
        print("ok", flush=True)


asyncio.run(main())
