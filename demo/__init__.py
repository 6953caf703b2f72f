"""The main job without a person: over REST, with a tenant's own data plane, and counted by what AWS itself lists."""
