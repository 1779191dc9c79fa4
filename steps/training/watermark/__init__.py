"""A trigger set: secret pictures with secret answers, which show whose model it is."""
