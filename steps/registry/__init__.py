"""From a judged model to a registered version."""
