"""Source records: transformed, compared with the row, applied to the mirror with their history."""
