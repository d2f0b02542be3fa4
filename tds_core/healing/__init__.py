"""Auto-healing: recurring checks that repair what is safe to repair and report the rest to a person."""
