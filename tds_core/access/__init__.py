"""Who may use TDS and what they did: keys, operators, sessions, roles, limits, actions."""
