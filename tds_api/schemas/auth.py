"""Schemas of authentication: log-in, operators, API keys, and the action log."""

from typing import Any

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import (
    ArgumentsSchema,
    PageArgumentsSchema,
    Whole,
    entity_field,
    id_field,
    instant_field,
    name_field,
    perhaps_instant_field,
)
from tds_core.auth.principal import PrincipalKind
from tds_core.explain.audit_log import Kind
from tds_models.auth import ActionOutcome, Role

ROLES = [role.value for role in Role]
_SCOPES = "Path prefixes behind /api/tds/ that it may call; none: all"


class RoleField(fields.String):
    """A role."""

    def __init__(self, **more: Any) -> None:
        super().__init__(validate=validate.OneOf(ROLES), **more)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        return Role(text) if text in ROLES else text


def password_field() -> fields.String:
    """A password; never dumped."""
    return fields.String(validate=validate.Length(1, 200), load_only=True)


class LoginSchema(Schema):
    """A log-in."""

    name = fields.String(required=True, validate=validate.Length(1, 200))
    password = fields.String(required=True, validate=validate.Length(1, 1000))


class LoginFormSchema(ArgumentsSchema):
    """A log-in from the page."""

    name = fields.String(load_default="", validate=validate.Length(max=200))
    password = fields.String(load_default="", validate=validate.Length(max=1000))
    next = fields.String(load_default="", validate=validate.Length(max=500))


class PasswordChangeSchema(Schema):
    """A change of one's own password."""

    current_password = fields.String(required=True, attribute="current", validate=validate.Length(1, 1000))
    new_password = fields.String(required=True, attribute="new", validate=validate.Length(1, 1000))


class WhoamiSchema(Schema):
    """The current identity."""

    kind = fields.String(validate=validate.OneOf([kind.value for kind in PrincipalKind]))
    name = fields.String()
    role = RoleField()
    scopes = fields.List(fields.String(), metadata={"description": _SCOPES})
    csrf_token = fields.String(allow_none=True, metadata={"description": "X-CSRF-Token of this session's changes"})
    ends_at = perhaps_instant_field("of a session")


class OperatorShownSchema(Schema):
    """An operator."""

    name = fields.String()
    role = RoleField()
    created_at = instant_field()
    created_by = fields.String()
    password_changed_at = instant_field()
    last_login_at = perhaps_instant_field()
    disabled_at = perhaps_instant_field()


class OperatorMadeSchema(OperatorShownSchema):
    """An operator with a password that was just made."""

    password = fields.String(allow_none=True, metadata={"description": "shown once, if TDS made it"})


class OperatorRequestSchema(Schema):
    """A new operator."""

    name = fields.String(required=True, validate=validate.Length(1, 64))
    role = RoleField(required=True)
    password = password_field()


class OperatorChangeSchema(Schema):
    """Changes of an operator."""

    role = RoleField()
    is_disabled = fields.Boolean()
    password = password_field()
    new_password = fields.Boolean(metadata={"description": "make one and show it once"})


class KeyArgumentsSchema(Schema):
    """Which keys."""

    with_ended = fields.Boolean(load_default=False)


class KeyShownSchema(Schema):
    """A key, without its secret."""

    prefix = fields.String()
    name = fields.String()
    role = RoleField()
    scopes = fields.List(fields.String(), metadata={"description": _SCOPES})
    created_at = instant_field()
    created_by = fields.String()
    expires_at = perhaps_instant_field()
    last_used_at = perhaps_instant_field()
    last_used_from = fields.String(allow_none=True)
    revoked_at = perhaps_instant_field()
    revoked_by = fields.String(allow_none=True)


class KeyMadeSchema(KeyShownSchema):
    """A new key."""

    key = fields.String(metadata={"description": "shown once"})


class KeyRequestSchema(Schema):
    """A new key."""

    name = fields.String(required=True, validate=validate.Length(1, 100))
    role = RoleField(required=True)
    scopes = fields.List(fields.String(), load_default=list, metadata={"description": _SCOPES})
    expires_at = instant_field()


class AuditArgumentsSchema(PageArgumentsSchema):
    """Which entries of the audit log, and when. `operator` is another name of `caller`."""

    kind = fields.Enum(Kind, by_value=True, metadata={"description": "all that can match without it"})
    entity = entity_field()
    source_id = name_field()
    operator = name_field()
    caller = name_field()
    operation = name_field()
    outcome = fields.String(validate=validate.OneOf([outcome.value for outcome in ActionOutcome]))
    since = instant_field()
    until = instant_field()


class AuditEntrySchema(Schema):
    """A change of a record, or an action of an operator; each has the members of its kind."""

    kind = fields.Enum(Kind, by_value=True)
    id = id_field()
    source_id = fields.String(metadata={"description": "of a change"})
    source = fields.String(metadata={"description": "of a change"})
    version = fields.Integer(metadata={"description": "of a change"})
    changes = fields.Raw(metadata={"description": "of a change: by field, before and after"})
    origin = fields.String(metadata={"description": "of a change: webhook, run, healing or operator"})
    origin_id = id_field(allow_none=True)
    source_modified_at = perhaps_instant_field()
    recorded_at = instant_field()
    caller = fields.String()
    caller_kind = fields.String()
    role = fields.String(allow_none=True)
    operation = fields.String()
    subject = fields.String()
    entity = fields.String(allow_none=True)
    source_ids = fields.List(fields.String(), allow_none=True)
    detail = fields.Dict()
    outcome = fields.String()
    status = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    remote_address = fields.String(allow_none=True)
    correlation_id = fields.String()


class OperatorSessionSchema(Schema):
    """An open session of an operator."""

    id = id_field()
    began_at = instant_field()
    last_used_at = instant_field()
    ends_at = instant_field()
    remote_address = fields.String(allow_none=True)
    is_current = fields.Boolean(metadata={"description": "the session that asks"})


class OwnSessionsArgumentsSchema(ArgumentsSchema):
    """Which of one's own sessions to end."""

    keep_current = fields.Boolean(load_default=False, metadata={"description": "all but the one that asks"})


class EndedSessionsSchema(Schema):
    """How many sessions were ended."""

    ended_count = fields.Integer()


class ResealRequestSchema(Schema):
    """Why the chain of seals is begun anew."""

    reason = fields.String(required=True, validate=Whole(r"[^\x00]{3,500}"))


class RestartedSealSchema(Schema):
    """The seal with which the chain begins anew."""

    number = fields.Integer()
    sealed_at = instant_field()
    note = fields.String(metadata={"description": "who, and why"})
