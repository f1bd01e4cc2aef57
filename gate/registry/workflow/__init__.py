"""The workflow of orders: every step, what it does, what it stores, and what owners are told."""
