"""Whether a model is as good on each group of pictures as on the others."""
