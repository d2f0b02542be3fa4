"""The database schema: migrations up and down."""
