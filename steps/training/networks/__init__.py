"""Networks by name, their weights, and the features of a frozen one."""
