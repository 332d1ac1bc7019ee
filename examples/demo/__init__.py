"""The demo: real questions about Penstock's own documentation, rated by facts, until the system answers well for less."""
