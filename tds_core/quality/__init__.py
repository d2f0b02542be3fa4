"""Quality: whether the mirror is right, and whether records still are what their declarations say."""
