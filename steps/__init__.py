"""The steps of every pipeline: one folder a phase, one file a step."""
