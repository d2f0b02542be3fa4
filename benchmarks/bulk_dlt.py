"""The same catalogue brought over by dlt, a well-kept loader: its REST source, merged by id, as its manual has it.

It keeps no history. Its settings are its own but for what makes it faster without changing what arrives.
"""

import json
import os
import sys
import time
from typing import Any

import dlt
import psycopg2
from dlt.sources.rest_api import rest_api_source

from benchmarks.bulk_floor import access_token
from benchmarks.peak_memory import peak_mb
from tds_core.database_urls import without_driver


def source(zoho: dict[str, str], since: str | None) -> Any:
    """The items of the stand-in, all of them or those changed since `since`."""
    endpoint: dict[str, Any] = {
        "path": "items",
        "data_selector": "items",
        "params": {"organization_id": zoho["organization_id"], "per_page": 200, "filter_by": "Status.All"},
    }
    if since:
        endpoint["incremental"] = {
            "start_param": "last_modified_time",
            "cursor_path": "last_modified_time",
            "initial_value": since,
        }
    return rest_api_source(
        {
            "client": {
                "base_url": f"{zoho['url']}/inventory/v1/",
                "headers": {"Authorization": f"Zoho-oauthtoken {access_token(zoho)}"},
                "paginator": {
                    "type": "page_number",
                    "base_page": 1,
                    "total_path": None,
                    "has_more_path": "page_context.has_more_page",
                },
            },
            "resources": [
                {"name": "items", "primary_key": "item_id", "write_disposition": "merge", "endpoint": endpoint}
            ],
        }
    )


def newest() -> str:
    """The newest time of change that was loaded, as the stand-in spells it."""
    with psycopg2.connect(without_driver(os.environ["TDS_DATABASE_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute("select to_char(max(last_modified_time), 'YYYY-MM-DD\"T\"HH24:MI:SS+0000') from dlt_items.items")
        return str(cursor.fetchone()[0])


def main() -> None:
    """`python -m benchmarks.bulk_dlt full|incremental`, with the stand-in's line of JSON in ZOHO."""
    pipeline = dlt.pipeline(
        pipeline_name="items",
        pipelines_dir=os.environ["DLT_HOME"],
        dataset_name="dlt_items",
        destination=dlt.destinations.postgres(without_driver(os.environ["TDS_DATABASE_URL"])),
    )
    start = time.perf_counter()
    pipeline.run(source(json.loads(os.environ["ZOHO"]), newest() if sys.argv[1] == "incremental" else None))
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
