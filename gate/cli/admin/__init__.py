"""Commands that ask a running gate, through its admin port."""
