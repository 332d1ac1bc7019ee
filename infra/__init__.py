"""ON WHAT it runs: the broker, and what a machine must have for it. Imports nothing of ours."""
