"""Who we serve: tenants, their tiers and their lifecycle."""
