"""A version trained again, and what differs."""
