"""The admin API: what operators and `gate` commands ask of a running gate."""
