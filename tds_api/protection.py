"""Headers on every answer that keep browsers from making something else of it."""

#: JSON is JSON, whatever it looks like.
NOSNIFF = ("X-Content-Type-Options", "nosniff")
