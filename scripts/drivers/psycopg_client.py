"""psycopg: a process that looks its types up once and registers them on every connection."""
import enum
import os
import sys

import psycopg
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.hstore import register_hstore
from psycopg.types.range import Range, RangeInfo, register_range

DSN = os.environ["GATE"]


class Mood(enum.Enum):
    sad = "sad"
    fine = "fine"


def connect(known=None):
    connection = psycopg.connect(DSN, autocommit=True)
    known = known or (
        TypeInfo.fetch(connection, "hstore"),
        TypeInfo.fetch(connection, "citext"),
        EnumInfo.fetch(connection, "mood"),
        CompositeInfo.fetch(connection, "pair"),
        RangeInfo.fetch(connection, "spell"),
    )
    register_hstore(known[0], connection)
    known[1].register(connection)
    register_enum(known[2], connection, Mood)
    register_composite(known[3], connection)
    register_range(known[4], connection)
    return connection, known


def check(connection, binary):
    cursor = connection.cursor(binary=binary)
    row = cursor.execute("SELECT h, c, cs, m, ms, s FROM t").fetchone()
    # psycopg has no binary loader for citext: it gives bytes, on any server.
    texts = (b"C", [b"A", b"b"]) if binary else ("C", ["A", "b"])
    expected = ({"k": "v"}, *texts, Mood.fine, [Mood.sad, Mood.fine], Range(1.0, 2.0, "[)"))
    assert row == expected, row
    (pair,) = cursor.execute("SELECT p FROM t").fetchone()
    assert pair[0] == 1 and pair[1] in (Mood.sad, "sad"), pair
    sent = cursor.execute("SELECT (%s::hstore) -> 'a', %s::mood", ({"a": "1"}, Mood.sad)).fetchone()
    assert sent == ("1", Mood.sad), sent


used, known = connect()
idle, _ = connect(known)
check(used, False)
print("ready", psycopg.__version__, flush=True)
for _ in range(2):
    sys.stdin.readline()
    for name, connection in [("used before", used), ("idle before", idle),
                             ("new, types as known", connect(known)[0]), ("new, looked up", connect()[0])]:
        for binary in (False, True):
            try:
                check(connection, binary)
            except Exception as e:
                raise SystemExit(f"FAILED {name}, binary={binary}: {e!r}")
    print("ok", flush=True)
