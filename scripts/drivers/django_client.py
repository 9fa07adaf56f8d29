"""Django: get_hstore_oids and get_citext_oids remember for the process."""
import os
import sys
from urllib.parse import urlsplit

import django
from django.conf import settings

gate = urlsplit(os.environ["GATE"])
settings.configure(
    INSTALLED_APPS=["django.contrib.postgres"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": gate.path[1:], "USER": gate.username,
                           "HOST": gate.hostname, "PORT": gate.port}},
)
django.setup()
from django.contrib.postgres.fields import HStoreField  # noqa: E402
from django.db import connection, models  # noqa: E402


class Row(models.Model):
    h = HStoreField()
    c = models.TextField()

    class Meta:
        app_label = "drivers"
        db_table = "t"
        managed = False


def check(name):
    row = Row.objects.get(pk=1)
    if row.h != {"k": "v"} or row.c != "C" or Row.objects.filter(h__contains={"k": "v"}).count() != 1:
        raise SystemExit(f"FAILED {name}: {row.h!r} {row.c!r}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT cs FROM t")
        (cs,) = cursor.fetchone()
    if cs != ["A", "b"]:
        raise SystemExit(f"FAILED {name}: {cs!r}")


check("before")
print("ready", django.__version__, flush=True)
for _ in range(2):
    sys.stdin.readline()
    check("the old connection")
    connection.close()
    check("a new connection")
    print("ok", flush=True)
