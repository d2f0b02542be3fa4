"""The shapes of the timetable's jobs, and what may be changed about them."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import Arguments, name_field, perhaps_instant_field


class Job(Schema):
    """One job, its last slot, and when it runs next."""

    name = fields.String()
    cron = fields.String(metadata={"description": "five fields, UTC; or every:SECONDS"})
    task = fields.String()
    arguments = fields.Raw()
    missed = fields.String(metadata={"description": "once: missed slots are caught up once; skip: left out"})
    paused_at = perhaps_instant_field()
    next_at = perhaps_instant_field("null while it is paused")
    last_slot_at = perhaps_instant_field()
    last_begun_at = perhaps_instant_field("null while nobody has taken it")
    last_ended_at = perhaps_instant_field()
    last_result = fields.String(allow_none=True, metadata={"description": "completed, failed, skipped or lost"})
    last_detail = fields.String(allow_none=True)


class JobChange(Arguments):
    """What changes about a job."""

    cron = name_field()
    missed = fields.String(validate=validate.OneOf(["once", "skip"]))
