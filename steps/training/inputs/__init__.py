"""What a network learns from: features or pictures, in batches, varied."""
