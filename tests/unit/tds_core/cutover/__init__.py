"""The pure parts of a comparison."""
