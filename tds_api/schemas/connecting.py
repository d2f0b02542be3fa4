"""The shapes of what browsers bring to the page that connects the organisation."""

from marshmallow import fields, validate

from tds_api.schemas.common import Arguments


class StartForm(Arguments):
    """Either the API token, or the wish to connect."""

    token = fields.String(load_default="", validate=validate.Length(max=500))
    data_center = fields.String(load_default="", validate=validate.Length(max=10))
    webhooks = fields.Boolean(load_default=False)
    form_key = fields.String(load_default="", validate=validate.Length(max=100))


class ConsentAnswer(Arguments):
    """What Zoho's consent page sends along."""

    state = fields.String(load_default="", validate=validate.Length(max=500))
    code = fields.String(load_default="", validate=validate.Length(max=500))
    error = fields.String(load_default="", validate=validate.Length(max=500))
    location = fields.String(load_default="", validate=validate.Length(max=50))
    accounts_server = fields.String(load_default="", data_key="accounts-server", validate=validate.Length(max=200))
