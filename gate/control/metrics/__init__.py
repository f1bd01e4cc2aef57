"""The figures of the gate: what there is, where it comes from, how it is summed up."""
