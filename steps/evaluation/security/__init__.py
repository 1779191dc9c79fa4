"""What of a model could do harm: its files, its signature, the libraries that it runs on."""
