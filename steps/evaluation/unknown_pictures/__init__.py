"""Pictures that are none of a model's classes, and whether the model is less sure of them."""
