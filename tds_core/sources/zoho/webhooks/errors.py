"""Why a webhook is refused: one tree, by what the sender or the operator has to do about it."""

from tds_core.errors import TdsError


class WebhookRefusedError(TdsError):
    """The root: the delivery changes nothing in the mirror."""

    code = "webhook_refused"


class UnprovenError(WebhookRefusedError):
    """Nobody knows who sent this; it is kept for forensics and never believed."""

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
    """The body came so slowly that it was not waited for."""

    code = "body_too_slow"


class BodiesCrowdedError(WebhookRefusedError):
    """So many bodies are being read at once that there is no memory for another: try again."""

    code = "bodies_crowded"
    retriable = True


class TooManyFieldsError(UnprovenError):
    """More parameters than any rule in Zoho can hold."""

    code = "too_many_fields"


class NotUnderstoodError(WebhookRefusedError):
    """Signed, so meant for TDS, but not understood: kept as quarantined.

    `entity` and `event` are what was understood before it stopped.
    """

    code = "not_understood"

    def __init__(self, message: str, *, entity: str | None = None, event: str | None = None) -> None:
        super().__init__(message)
        self.entity, self.event = entity, event


class UnknownWebhookEntityError(NotUnderstoodError):
    """Nothing TDS mirrors has this name."""

    code = "unknown_entity"


class EntityUnclearError(NotUnderstoodError):
    """The body fits several entities, and nothing says which."""

    code = "entity_unclear"


class UnknownEventError(NotUnderstoodError):
    """Not created, updated or deleted."""

    code = "unknown_event"


class ContentTypeError(NotUnderstoodError):
    """Neither JSON nor a form."""

    code = "unsupported_content_type"


class BodyError(NotUnderstoodError):
    """The body is not what its content type says: broken JSON, or text that no database keeps."""

    code = "body_unreadable"


class RecordMissingError(NotUnderstoodError):
    """The body holds no record of the entity."""

    code = "record_missing"


class IdError(NotUnderstoodError):
    """The record has no id, or one that no source gives out."""

    code = "id_unusable"


class EntityMismatchError(NotUnderstoodError):
    """The address or header names one entity, the body holds another."""

    code = "entity_mismatch"


class OtherOrganizationRecordError(NotUnderstoodError):
    """The body names another organisation than the one that is mirrored."""

    code = "other_organization"


class UnstorableError(NotUnderstoodError):
    """The database cannot keep it as it is."""

    code = "unstorable"
