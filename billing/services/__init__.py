"""What billing does, one verb per function; each owns one transaction."""
