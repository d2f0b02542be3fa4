"""The shapes of the overview: what a wall shows, and everything behind it."""

from marshmallow import Schema, fields

from tds_api.schemas.breakers import Breaker
from tds_api.schemas.health import WholeHealth
from tds_api.schemas.mirror import Standing
from tds_api.schemas.quota import Quota
from tds_api.schemas.schedules import Job
from tds_api.schemas.work import QueueStats, Reception


class Overview(Schema):
    """How TDS does, what came in, and where every entity stands."""

    at = fields.AwareDateTime(format="iso")
    health = fields.Nested(WholeHealth)
    reception = fields.Nested(Reception)
    entities = fields.List(fields.Nested(Standing))


class WholeOverview(Overview):
    """The overview with the queue, the breakers, the quota and the timetable."""

    queue = fields.List(fields.Nested(QueueStats))
    breakers = fields.List(fields.Nested(Breaker))
    quota = fields.Nested(
        Quota, allow_none=True, metadata={"description": "null while nobody can read how much is used"}
    )
    schedules = fields.List(fields.Nested(Job))
