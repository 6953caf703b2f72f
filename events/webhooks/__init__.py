"""Webhooks: signed messages about events to addresses that customers name (Standard Webhooks 1.0.0)."""
