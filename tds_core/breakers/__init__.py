"""Circuit breakers shared by all processes: a dependency that fails is left alone, and asked again by one at a time."""
