"""What must hold for every living row: it is the mirrored organisation's, as far as its record says."""

from tds_core.sync.foreign_rows import foreign
from tds_core.verifying.check import Check, Promise
from tds_models.entities import ENTITIES

CHECKS = (
    Check(
        name="rows_are_of_one_organization",
        promise=Promise.DIFFERENT,
        says="no living row names another organisation than the mirrored one",
        broken=f"""
            select entity, source_id, format('it says that it is of organisation %s, and %s is mirrored',
                left(theirs, 40), mirrored) as found
            from ({" union all ".join(foreign(entity) for entity in ENTITIES.values())}) as named""",
        counted="select sum(living) from ("
        + " union all ".join(
            f"select count(*) as living from {entity.table.fullname} where deleted_at is null"
            for entity in ENTITIES.values()
        )
        + ") as counted",
        look="tds sync {entity} --mode full; when it is held: tds runs approve ID; tds explain {entity} {source_id}",
    ),
)
