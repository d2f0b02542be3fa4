"""The bare insert of webhooks by a C program: pgbench sends groups of them to a table with nothing but a primary key.

What PostgreSQL takes for it no server written in any language can save.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2

from tds_core.database_urls import without_driver
from tds_local.embedded import binaries

GROUP = 64  # as many as there are connections, so as many as a group commit can hold
_TABLE = """
create table if not exists floor_events (id bigint generated always as identity primary key,
    received_at timestamptz not null default now(), entity text, event text, source_id text, record jsonb)
"""
_INSERT = """
insert into floor_events (entity, event, source_id, record) select entity, event, source_id, record
from jsonb_to_recordset(:rows::jsonb) as r(entity text, event text, source_id text, record jsonb);
"""


@dataclass(frozen=True, slots=True)
class Inserted:
    """Rows a second, and microseconds of PostgreSQL's processor time a row."""

    per_second: float
    cpu_us: float


def postgres_seconds(postmaster: psutil.Process) -> float:
    """Processor time of a PostgreSQL and all its processes so far, those that have ended among them."""
    times = postmaster.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in postmaster.children():
        with suppress(psutil.NoSuchProcess):  # it ended just now, and the postmaster has its count
            total += sum(child.cpu_times()[:2])
    return float(total)


def insert(url: str, bodies: Sequence[bytes], groups: int, postmaster: psutil.Process) -> Inserted:
    """Insert the bodies in groups, each a transaction that is on disk, so often."""
    rows = [
        {"entity": "product", "event": "updated", "source_id": str(n), "record": json.loads(body)["item"]}
        for n, body in enumerate(bodies[:GROUP])
    ]
    connection = psycopg2.connect(without_driver(url))
    with connection, connection.cursor() as cursor:
        cursor.execute(_TABLE)
    connection.close()
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(" ".join(_INSERT.split()))
        script.flush()
        command = [
            str(Path(binaries.postgres_programs()) / "pgbench"), "--no-vacuum", "--protocol=prepared", "--client=2",
            f"--transactions={max(1, groups // 2)}", f"--define=rows={json.dumps(rows)}", f"--file={script.name}",
            without_driver(url),
        ]  # fmt: skip
        before = postgres_seconds(postmaster)
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = postgres_seconds(postmaster) - before
    count = max(1, groups // 2) * 2 * len(rows)
    [per_second] = re.findall(r"tps = ([\d.]+)", said)
    return Inserted(float(per_second) * len(rows), spent / count * 1e6)
