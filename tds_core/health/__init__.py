"""Health: the components of an installation, its infrastructure, and one score for both."""
