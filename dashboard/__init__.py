"""The door for people: pages and fragments over the rooms' services and queries."""
