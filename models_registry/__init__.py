"""What tenants bring: base models that are offered, adapters, their versions, and what should serve from when."""
