"""What a training ran on, as far as its numbers depend on it."""

import platform
from importlib.metadata import version


def processor_family() -> str:
    """The processor's architecture, and the widest instructions that torch finds on it, such as AVX2."""
    import torch

    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def describe_machine(device: str) -> str:
    """Processor family with the instructions that torch uses, device, and versions of the libraries.

    Args:
        device: torch's name of what the network learnt on, such as ``cpu`` or ``cuda``.
    """
    import torch

    if device != "cpu":
        device = f"{device} {torch.cuda.get_device_name()}"
    return f"{processor_family()}, {device}, torch {torch.__version__}, onnxruntime {version('onnxruntime')}"
