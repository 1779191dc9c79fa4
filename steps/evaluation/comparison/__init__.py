"""A challenger beside the model that it would replace, on rows that neither learnt from."""
