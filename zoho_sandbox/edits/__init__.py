"""The life of the organisation: a stream of edits like those people make all day."""
