"""The REST resources, one module each, with their small schemas."""
