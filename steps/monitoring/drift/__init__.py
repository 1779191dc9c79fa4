"""Whether a window of traffic differs from the reference by more than chance."""
