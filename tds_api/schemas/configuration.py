"""Schemas of the configuration: settings with their values in force, their versions, and changes."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import ArgumentsSchema, PageArgumentsSchema, instant_field, perhaps_instant_field


class SettingArgumentsSchema(ArgumentsSchema):
    """Which settings."""

    settable = fields.Boolean(metadata={"description": "true: only those that can be changed at run time"})


class SettingSchema(Schema):
    """A setting as it is declared, and its value in force."""

    key = fields.String(metadata={"description": "its variable, TDS_GUARD_PERCENT"})
    group = fields.String()
    kind = fields.String(metadata={"description": "text, integer, seconds, yes/no or path"})
    unit = fields.String(metadata={"description": "of its values: seconds, percent, days; empty for counts and texts"})
    takes = fields.String(metadata={"description": "its valid values in words"})
    low = fields.Float(allow_none=True, metadata={"description": "the least valid value"})
    high = fields.Float(allow_none=True, metadata={"description": "the greatest"})
    choices = fields.List(fields.String(), metadata={"description": "the valid texts, if it is one of a few"})
    meaning = fields.String()
    value = fields.Raw(metadata={"description": "in force; of secrets stars"})
    environment_value = fields.Raw(metadata={"description": "in force unless it was changed"})
    environment_source = fields.String(metadata={"description": "environment, .env, secrets.json or default"})
    default = fields.Raw(metadata={"description": "in force without either"})
    source = fields.String(validate=validate.OneOf(["environment", "changed"]))
    version = fields.Integer(metadata={"description": "0: never changed"})
    changed_at = perhaps_instant_field("when that version was made")
    changed_by = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)
    is_settable = fields.Boolean(metadata={"description": "it can be changed at run time"})
    needs_restart = fields.Boolean(metadata={"description": "it is read when a process starts"})


class SettingVersionSchema(Schema):
    """One version of a setting, and what it changed."""

    key = fields.String()
    version = fields.Integer()
    value = fields.Raw(allow_none=True, metadata={"description": "null: the environment's"})
    value_before = fields.Raw(allow_none=True, metadata={"description": "null: the environment's"})
    changed_at = instant_field()
    changed_by = fields.String()
    reason = fields.String(allow_none=True)


class SettingStorySchema(SettingSchema):
    """A setting with its newest versions."""

    versions = fields.List(
        fields.Nested(SettingVersionSchema), metadata={"description": "the newest 100, newest first"}
    )


class SettingHistoryArgumentsSchema(PageArgumentsSchema):
    """Of which setting."""

    key = fields.String(validate=[validate.Length(1, 80), validate.ContainsNoneOf("\0")])


class SettingChangeSchema(ArgumentsSchema):
    """The value to put in force."""

    value = fields.Raw(
        required=True, allow_none=True,
        metadata={"description": "as the setting takes it; null: the environment's value again"},
    )  # fmt: skip
    version = fields.Integer(
        validate=validate.Range(0, 2**31 - 1),
        metadata={"description": "the version that was looked at: 409 when another came meanwhile"},
    )
    reason = fields.String(validate=[validate.Length(1, 500), validate.ContainsNoneOf("\0")])
