"""The Kubeflow orchestrator: ZenML's own, with what it loses of a step's settings put back."""
