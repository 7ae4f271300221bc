"""What there is: every contract by dataset, and every table by layer and name."""
