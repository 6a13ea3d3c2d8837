"""Where compiled functions run: devices by name, and how much memory they have."""

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from ...base.errors import InputError
from ...base.memory import memory_bytes

if TYPE_CHECKING:
    import jax

# What users name a device by.
DeviceLike: TypeAlias = "str | jax.Device | None"
_NAME = re.compile(r"[a-z]+(:[0-9]+)?")
# Of what is free on an accelerator; the rest is for what is fragmented, and for what comes back.
ACCELERATOR_SHARE = 0.7
# Of all memory that the process may use on CPUs, which holds other things, too.
RAM_SHARE = 0.25


def device_name(device: Any) -> str | None:
    """The name of a device: a kind that JAX knows, and a number where there are several.

    Args:
        device: None for whatever JAX takes by itself; "cpu", "gpu", "gpu:1"; or a `jax.Device`.

    Raises:
        InputError: something else.
    """
    if device is None or (isinstance(device, str) and _NAME.fullmatch(device)):
        return device
    if isinstance(platform := getattr(device, "platform", None), str):
        import jax

        if isinstance(device, jax.Device):
            return f"{platform}:{jax.devices(platform).index(device)}"
    raise InputError(
        f"the device is {device!r}",
        "compiled functions run on one device of JAX, named by its kind and number",
        'give "cpu", "gpu", "gpu:1" or a jax.Device; None for the one that JAX takes by itself',
    )


def is_cpu(name: str | None) -> bool:
    """Whether a name is that of a CPU, as which no name counts."""
    return name is None or name.partition(":")[0] == "cpu"


def find_device(name: str | None) -> "jax.Device | None":
    """The device of a name; None for none.

    Raises:
        InputError: it is not there.
    """
    if name is None:
        return None
    import jax

    kind, _, number = name.partition(":")
    try:
        devices = jax.devices(kind)
    except RuntimeError:  # JAX knows no such kind, or has none here
        devices = []
    if int(number or 0) >= len(devices):
        present = ", ".join(f"{d.platform}:{k}" for k, d in enumerate(jax.devices()))
        raise InputError(
            f"the device is {name!r}, and JAX has {f'only {len(devices)}' if devices else 'none'} of that kind here",
            "what was meant for an accelerator would run somewhere else, and far slower",
            f"take one that is there ({present}, or cpu), or leave `device` out; for an accelerator install the JAX"
            ' that is made for it, such as pip install "jax[cuda12]"',
        )
    return devices[int(number or 0)]


def memory_for_blocks(device: "jax.Device | None") -> float:
    """Bytes that one block of columns may take.

    Args:
        device: None for JAX's default one. Of an accelerator, most of what is free counts; of CPUs, a part of all.
    """
    import jax

    chosen = jax.devices()[0] if device is None else device
    stats = chosen.memory_stats() or {}  # CPUs have none
    if "bytes_limit" in stats:
        return ACCELERATOR_SHARE * (stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return RAM_SHARE * memory_bytes()
