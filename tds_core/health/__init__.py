"""Health of the whole: components, a score, and the infrastructure below."""
