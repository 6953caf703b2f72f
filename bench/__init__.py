"""Benchmarks: each prints ratios against a floor that is measured in the same run. Nothing here is a test."""
