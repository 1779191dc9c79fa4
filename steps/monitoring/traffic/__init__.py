"""What the live model was asked and answered, what came of it, and what it is compared with."""
