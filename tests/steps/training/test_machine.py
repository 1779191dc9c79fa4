"""What a training ran on is said in one line."""

import torch

from steps.training.machine import describe_machine


def test_it_names_processor_device_and_libraries() -> None:
    """What the last digits of weights depend on, the same in every call."""
    said = describe_machine("cpu")
    assert torch.backends.cpu.get_cpu_capability() in said
    assert f"cpu, torch {torch.__version__}, onnxruntime 1.26.0" in said
    assert said == describe_machine("cpu")
