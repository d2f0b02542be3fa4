"""HTTP itself: problem documents, JSON, correlation ids, request bodies, security headers."""
