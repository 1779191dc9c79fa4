"""What people are told of, once while it lasts, and once more when it is over."""
