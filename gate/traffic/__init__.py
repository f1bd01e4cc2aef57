"""What is noted of the decisions: blocked names for the unfiled table, and lines for the log."""
