"""What only gates know, put beside the records: who is to be reminded of what."""
