"""What runs a model directory: the same code for evaluation, batch inference and the microservice."""
