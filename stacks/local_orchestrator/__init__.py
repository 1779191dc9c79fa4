"""The local orchestrator: ZenML's own, with retries of faults alone and schedules as rows of a JSON file."""
