"""What happens to claimed work: results are interpreted, applied and completed in one transaction."""
