"""The search for parameters, and the same training over folds."""
