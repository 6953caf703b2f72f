"""The front door for machines: REST under /api/v1."""
