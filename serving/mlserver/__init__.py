"""The v2 protocol (Open Inference Protocol): the service's own code under MLServer."""
