"""What validation pictures choose of an exported model: temperature and abstention."""
