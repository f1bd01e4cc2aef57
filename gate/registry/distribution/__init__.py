"""How the registry's changes reach the gates: pushed, published, pulled, as snapshots."""
