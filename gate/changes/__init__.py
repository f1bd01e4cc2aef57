"""What registry and gates agree on: batches of changes, snapshots, their envelopes and keys."""
