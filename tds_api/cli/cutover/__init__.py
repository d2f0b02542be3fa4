"""`tds migrate-from`: compares the mirror with an old sync's tables, and puts it in their place."""
