"""For machines: the REST API under /api/v1. Thin doors over the rooms' services and queries."""
