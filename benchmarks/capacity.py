"""A model of N workers on M hosts: what a load takes of each part, and which gives first. Its coefficients are the
newest kept figures of `webhook_to_row`, `webhook_database` and `scaling` in results.json; nothing else is assumed but
what the options say. `simulate` plays a day of an organisation through it, second by second.

A webhook's cost is that of few at once, most of them in a batch of their own. Where many wait, batches grow and each
costs a fraction of it (`benchmarks/drain.py`), so the model errs on the safe side.
"""

import argparse
import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import results

LOW, HIGH = 5.0, 100.0  # the rates between which a webhook's cost is taken
TASKS = 2  # of a worker
DAY_MINUTES = 1440


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Measured: seconds of a core and bytes of PostgreSQL's log a webhook, cores while little comes, and how many
    details a task reads a second.
    """

    api: float
    worker: float
    postgres: float
    idle_cores: float
    log_bytes: float
    details_per_task: float


def coefficients(kept: Mapping[str, Mapping[str, Any]]) -> Coefficients:
    """From the stored results. Raises KeyError where one of them was not kept."""
    row, database = kept["webhook_to_row"]["figures"], kept["webhook_database"]["figures"]

    def each(part: str) -> float:
        cores = float(row[f"{part}_at_{HIGH:g}"] - row[f"{part}_at_{LOW:g}"])
        return cores / float(row[f"webhooks_per_s_at_{HIGH:g}"] - row[f"webhooks_per_s_at_{LOW:g}"])

    return Coefficients(
        api=each("cores_of_api"),
        worker=each("cores_of_workers"),
        postgres=each("cores_of_postgres"),
        idle_cores=row[f"cores_busy_at_{LOW:g}"],
        log_bytes=database["intake_log_bytes_of_10"] + database["worker_log_bytes_of_10"],
        details_per_task=kept["scaling"]["figures"]["details_per_s_1"] / TASKS,
    )


@dataclass(frozen=True, slots=True)
class Installation:
    """Hosts that run workers, workers on each, cores of each of them, of the API and of PostgreSQL; its disk's MB/s.

    `is_one_machine`: everything shares the cores of one host.
    """

    hosts: int = 1
    workers: int = 2
    cores: int = 2
    api_cores: int = 1
    postgres_cores: int = 2
    disk_mb_per_s: float = 100.0
    is_one_machine: bool = False

    @property
    def worker_cores(self) -> float:
        """Cores that workers can use: a task computes on one at a time."""
        return self.hosts * min(self.cores, self.workers * TASKS)


@dataclass(frozen=True, slots=True)
class Organization:
    """Webhooks a second, and the share whose record has to be read; records in lists, documents, calls a day."""

    webhooks_per_s: float = 50.0
    read_share: float = 0.05
    records: int = 7_900_000
    calls_per_day: int = 10_000


def shares(known: Coefficients, of: Installation, webhooks_per_s: float) -> dict[str, float]:
    """What a rate takes of each part: 1 is all there is."""
    disk = webhooks_per_s * known.log_bytes / 1e6 / of.disk_mb_per_s
    if of.is_one_machine:
        each = known.api + known.worker + known.postgres
        return {"the machine's cores": webhooks_per_s * each / max(0.01, of.cores - known.idle_cores), "disk": disk}
    return {
        "API": webhooks_per_s * known.api / of.api_cores,
        "workers": webhooks_per_s * known.worker / of.worker_cores,
        "PostgreSQL": webhooks_per_s * known.postgres / of.postgres_cores,
        "disk": disk,
    }


def highest_rate(known: Coefficients, of: Installation) -> tuple[float, str]:
    """The webhooks a second at which a part has no more to give, and that part."""
    part, share = max(shares(known, of, 1.0).items(), key=lambda each: each[1])
    return 1 / share, part


def simulate(known: Coefficients, of: Installation, company: Organization, *, seed: int = 7) -> dict[str, Any]:
    """A day: twice the mean at noon, a tenth of it at night, ten imports of 5,000 changes at once; what waits, and for
    how long. Calls: the list pages of a full pass and of hourly increments, and the records that have to be read.
    """
    chance = random.Random(seed)
    imports = {chance.randrange(DAY_MINUTES) for _ in range(10)}
    limit, first = highest_rate(known, of)
    waiting, most_waiting, longest, webhooks, changes = 0.0, 0.0, 0.0, 0.0, []
    for minute in range(DAY_MINUTES):
        mean = company.webhooks_per_s * max(0.1, 1 - math.cos(2 * math.pi * minute / DAY_MINUTES))
        changes.append(0.0)
        for second in range(60):
            come = max(0.0, chance.gauss(mean, math.sqrt(mean))) + 5000 * (minute in imports and second == 0)
            changes[-1] += come
            waiting = max(0.0, waiting + come - limit)
            most_waiting, longest = max(most_waiting, waiting), max(longest, waiting / limit)
        webhooks += changes[-1]
    pages = math.ceil(company.records / 200)
    reads = webhooks * company.read_share
    increments = sum(max(14, math.ceil(sum(changes[n : n + 60]) / 200)) for n in range(0, DAY_MINUTES, 60))
    calls = pages + increments + reads
    readable = of.hosts * of.workers * TASKS * known.details_per_task * 86_400
    return {
        "webhooks_a_day": round(webhooks),
        "busiest_minute_per_s": round(max(changes) / 60, 1),
        "holds_webhooks_per_s": round(limit, 1),
        "gives_first": first,
        "most_waiting": round(most_waiting),
        "longest_wait_s": round(longest, 1),
        "log_gb_a_day": round(webhooks * known.log_bytes / 1e9, 1),
        "calls_wanted_a_day": round(calls),
        "calls_to_quota": round(calls / company.calls_per_day, 1),
        "reads_to_what_tasks_can": round(reads / readable, 3),
    }


_HERE, _COMPANY = Installation(), Organization()


def table(
    known: Coefficients, hosts: tuple[int, ...] = (1, 2, 4, 8), workers: tuple[int, ...] = (1, 2, 4, 8)
) -> Iterator[str]:
    """Webhooks a second that N workers on each of M hosts hold, and what gives first; every host and
    PostgreSQL have eight cores.
    """
    yield f"{'hosts':>6} {'workers each':>12} {'webhooks/s':>11}  gives first"
    for host_count in hosts:
        for count in workers:
            of = Installation(hosts=host_count, workers=count, cores=8, api_cores=2 * host_count, postgres_cores=8)
            rate, part = highest_rate(known, of)
            yield f"{host_count:6} {count:12} {rate:11,.0f}  {part}"


def main() -> None:
    """Command line: `python -m benchmarks.capacity [--webhooks N] [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--webhooks", type=float, default=_COMPANY.webhooks_per_s, help="a second, on the mean of a day"
    )
    parser.add_argument("--records", type=int, default=_COMPANY.records)
    parser.add_argument("--hosts", type=int, default=_HERE.hosts, help="1: everything on one machine")
    parser.add_argument("--cores", type=int, default=_HERE.cores, help="of each host")
    parser.add_argument("--workers", type=int, default=_HERE.workers, help="on each host")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    known = coefficients(results.stored())
    of = Installation(workers=chosen.workers, cores=chosen.cores, is_one_machine=True)
    if chosen.hosts > 1:
        of = Installation(
            hosts=chosen.hosts, workers=chosen.workers, cores=chosen.cores, api_cores=2, postgres_cores=chosen.cores
        )
    day = simulate(known, of, Organization(webhooks_per_s=chosen.webhooks, records=chosen.records))
    if chosen.json:
        print(json.dumps(day))
        return
    microseconds = {name: round(getattr(known, name) * 1e6) for name in ("api", "worker", "postgres")}
    print(f"A webhook takes, in µs of a core: {microseconds}; {known.log_bytes:,.0f} bytes of log")
    print("\n".join(table(known)))
    print("\n".join(f"{key:28} {value}" for key, value in day.items()))


if __name__ == "__main__":
    main()
