"""What the business does with adapters."""
