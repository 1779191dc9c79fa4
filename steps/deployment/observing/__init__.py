"""What is made of the captured answers of champion and candidate while a release rolls out."""
