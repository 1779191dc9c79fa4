"""From the live model to predictions for a folder of pictures."""
