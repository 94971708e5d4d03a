"""What owns state: the token in memory, the refresh under way, and the delivery of new tokens."""
