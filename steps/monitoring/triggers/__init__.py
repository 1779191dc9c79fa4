"""What speaks for a retraining, and what holds one back whatever speaks for it."""
