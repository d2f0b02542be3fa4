"""The declarative base, with one metadata for TDS's own tables, one for the mirror, and their naming convention."""

from sqlalchemy import DateTime, MetaData
from sqlalchemy.orm import DeclarativeBase

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

MIRROR_SCHEMA = "erp"

#: Mirror tables, built from the entity declarations (`tds_models.entities`).
mirror_metadata = MetaData(schema=MIRROR_SCHEMA, naming_convention=NAMING)

#: Aware UTC, everywhere.
Instant = DateTime(timezone=True)


class Base(DeclarativeBase):
    """Base of TDS's own tables (`tds_*`)."""

    metadata = MetaData(naming_convention=NAMING)
