"""From what has come in to the decision to retrain."""
