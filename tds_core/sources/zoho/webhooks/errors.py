"""Errors of refused webhooks, named by what the sender or the operator must do."""

from tds_core.errors import TdsError


class WebhookRefusedError(TdsError):
    """The root: the delivery changes nothing in the mirror."""

    code = "webhook_refused"


class UnprovenError(WebhookRefusedError):
    """The sender is not proven; the delivery is kept for forensics and never applied."""

    code = "unproven"


class SecretUnsetError(UnprovenError):
    """No secret is configured: set ZOHO_WEBHOOK_SECRET, or switch on TDS_UNSIGNED_WEBHOOKS."""

    code = "signature_secret_unset"


class SignatureMissingError(UnprovenError):
    """The sender signed nothing: give the webhook a secret in Zoho."""

    code = "signature_missing"


class SignatureWrongError(UnprovenError):
    """The sender used another secret, or the request was changed on its way."""

    code = "signature_wrong"


class BodyTooLargeError(UnprovenError):
    """The body is larger than TDS_WEBHOOK_MAX_BYTES; it was not read to its end."""

    code = "body_too_large"


class BodyCutShortError(UnprovenError):
    """The connection ended before the announced length came."""

    code = "body_cut_short"


class BodyTooSlowError(UnprovenError):
    """The body did not arrive in time."""

    code = "body_too_slow"


class BodiesCrowdedError(WebhookRefusedError):
    """Too many bodies are being read at once for the memory available: send it again."""

    code = "bodies_crowded"
    retriable = True


class TooManyFieldsError(UnprovenError):
    """The request has more parameters than a rule in Zoho can hold."""

    code = "too_many_fields"


class NotUnderstoodError(WebhookRefusedError):
    """The delivery is signed but cannot be parsed: it is quarantined.

    `entity` and `event`: what was understood until then, None otherwise.
    """

    code = "not_understood"

    def __init__(self, message: str, *, entity: str | None = None, event: str | None = None) -> None:
        super().__init__(message)
        self.entity, self.event = entity, event


class UnknownWebhookEntityError(NotUnderstoodError):
    """Nothing TDS mirrors has this name."""

    code = "unknown_entity"


class EntityUnclearError(NotUnderstoodError):
    """The body fits several entities and none is named."""

    code = "entity_unclear"


class UnknownEventError(NotUnderstoodError):
    """The event is not created, updated or deleted."""

    code = "unknown_event"


class ContentTypeError(NotUnderstoodError):
    """The content type is neither JSON nor a form."""

    code = "unsupported_content_type"


class BodyError(NotUnderstoodError):
    """The body is broken JSON, or holds text that PostgreSQL cannot store."""

    code = "body_unreadable"


class RecordMissingError(NotUnderstoodError):
    """The body holds no record of the entity."""

    code = "record_missing"


class IdError(NotUnderstoodError):
    """The record has no id, or one of an unknown form."""

    code = "id_unusable"


class EntityMismatchError(NotUnderstoodError):
    """The address or header names one entity, the body holds another."""

    code = "entity_mismatch"


class OtherOrganizationRecordError(NotUnderstoodError):
    """The body names another organisation than the one that is mirrored."""

    code = "other_organization"


class UnstorableError(NotUnderstoodError):
    """The database rejects the delivery as it is."""

    code = "unstorable"
