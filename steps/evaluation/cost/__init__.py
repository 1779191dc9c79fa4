"""What serving a model costs, measured on a replica that really serves it."""
