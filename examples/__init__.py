"""Examples: workflows to start from, and the demo."""
