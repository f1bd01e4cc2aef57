"""备案订单: what an order is: its kinds, states, entries and terms, and the rules that check it."""
