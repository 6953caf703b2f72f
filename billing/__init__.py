"""Charging: rate cards, rating, invoices and the documents that customers receive."""
