"""From splits to a trained classifier and the model directory that is served."""
