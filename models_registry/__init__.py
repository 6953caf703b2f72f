"""What tenants bring: adapters, versions and releases."""
