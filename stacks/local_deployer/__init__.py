"""The local model deployer: Seldon microservices as child processes behind Envoy, on loopback.

A *site* is one state directory: its ``state.json`` is what is live. A *replica* is one microservice process.
"""
