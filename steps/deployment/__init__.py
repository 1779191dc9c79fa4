"""From a registered version to live traffic, and back."""
