"""The comparison of the mirror with its source, on a real database and a stand-in over HTTP."""
