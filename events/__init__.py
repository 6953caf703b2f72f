"""What happened: one append-only row per event, which feeds the audit trail and the reactions."""
