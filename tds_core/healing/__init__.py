"""Auto-healing: what goes wrong by itself is found, put right where that is safe, told where it is not."""
