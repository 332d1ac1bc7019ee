"""What ``penstock verify`` is made of: facts taken from messages, kept in DuckDB, and the checks that are made of them."""
