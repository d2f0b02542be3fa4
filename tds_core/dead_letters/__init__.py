"""Dead letters: stored, diagnosed, previewed, retried one by one or in batches, imported."""
