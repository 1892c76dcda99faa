"""Which device computes."""

import torch

from compressibility.errors import UserError


class DeviceError(UserError):
    """A device that is not there; the message says which are."""


def available() -> tuple[str, ...]:
    """The devices of this machine: ``cpu``, then every CUDA device."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ("cpu", *(f"cuda:{number}" for number in range(count)))


def resolve(name: str) -> str:
    """The device of that name; ``auto`` is the first GPU where there is one, else the CPU.

    Raises:
        DeviceError: There is no such device here.
    """
    devices = available()
    if name == "auto":
        return devices[min(1, len(devices) - 1)]
    device = "cuda:0" if name == "cuda" else name
    if device not in devices:
        raise DeviceError(f"no device {name!r} here: choose from auto, {', '.join(devices)}")
    return device


def kind(device: str) -> str:
    """The kind of a device, such as ``cpu`` or ``cuda``."""
    return torch.device(device).type


def accelerator(device: str) -> str | None:
    """What a GPU calls itself, such as ``NVIDIA H200``; None for a CPU."""
    return torch.cuda.get_device_name(device) if kind(device) == "cuda" else None
