"""What senders deliver: the landing zone, what is new in it, and copies as received."""
