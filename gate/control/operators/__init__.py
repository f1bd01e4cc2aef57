"""What operators do to a running gate: overrides, runtime changes, the audit log."""
