"""What the business does to make tenants real."""
