"""The blocked names that are asked for: the table, and the reports to the registry."""
