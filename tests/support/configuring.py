"""Changes of settings at run time: made by an operator in one process, taken up by this one as by any other."""

from functools import partial
from typing import Any

from sqlalchemy import Engine

from tds_core.configuration import versions
from tds_core.configuration.refresh import refresh
from tds_models.db import session_scope


def configure(engine: Engine, **values: Any) -> None:
    """Change settings, named by their fields; this process knows of it afterwards."""
    with session_scope(engine) as session:
        for field, value in values.items():
            versions.change(session, field, value, by="somebody", reason="tried out")
    refresh(partial(session_scope, engine))
