"""The command line: one module for each group of commands, which imports what it needs when it runs."""
