"""Counting: CloudWatch and the resource ledger become usage that can be argued about without prices."""
