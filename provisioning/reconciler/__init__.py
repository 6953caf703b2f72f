"""Claim a batch, look at AWS, decide, make at most one change per resource, record. Level-triggered."""
