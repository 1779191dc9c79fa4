"""How a model behaves: invariance, direction, minimum functionality, constancy."""
