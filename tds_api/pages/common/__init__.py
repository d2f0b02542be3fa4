"""What all pages share: the API as their source, rendering, formats, charts and texts."""
