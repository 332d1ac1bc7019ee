"""Why quality or satisfaction fell: since when, how much, and what accounts for how much of it. Pure but for the reading."""
