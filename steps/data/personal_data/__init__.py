"""Personal data in a delivery: e-mail addresses, phone numbers and names in columns, faces, readable text."""
