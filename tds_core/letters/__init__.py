"""Working off dead letters: what each means, which are meant, reviving one or many, and taking in those of others."""
