"""What metering does: collect usage, and seal it."""
