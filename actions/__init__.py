"""Acts of a person, in the client process and in seconds; and the order in which flags are carried out."""
