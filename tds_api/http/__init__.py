"""HTTP itself: problems, JSON, the OpenAPI document, correlation, bodies, the server."""
