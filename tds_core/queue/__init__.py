"""The work queue: items, claims, retries, eligibility, attempts."""
