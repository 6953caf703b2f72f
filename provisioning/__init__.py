"""Making it so: wishes in PostgreSQL, one look at AWS, at most one change per resource and pass."""
