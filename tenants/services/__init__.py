"""What the business does with tenants."""
