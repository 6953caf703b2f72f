"""Who is asking: people with roles, API keys with scopes, and what each of them may do and see."""
