"""What a model withstands: corrupted pictures, and pictures that were changed to mislead it."""
