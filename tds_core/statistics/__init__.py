"""Statistics: what the mirror holds, what happened, how that changed, and whether an installation is accepted."""
