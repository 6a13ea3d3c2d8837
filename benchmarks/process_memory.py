"""Peak memory of a benchmark: of this process beyond what it held after its imports (Linux), or of the accelerator."""

import ctypes
from pathlib import Path


class Memory:
    """Made after the imports. All in MiB.

    Attributes:
        before: what the process held when this was made.
        start: what it held at the last `forget`.
    """

    def __init__(self):
        self.before = self.start = self._of_process("VmRSS")

    @staticmethod
    def _of_process(field: str) -> float:
        return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024

    @staticmethod
    def _of_device() -> float | None:
        import jax

        found = jax.devices()[0].memory_stats()  # None on a CPU
        return found["peak_bytes_in_use"] / 2**20 if found else None

    def forget(self) -> None:
        """Peaks are counted from here on; those of an accelerator are not, they begin with the process."""
        ctypes.CDLL(None).malloc_trim(0)  # what was freed but kept would hide the next peak
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is held now
        self.start = self._of_process("VmRSS")

    def peak(self) -> float:
        """Beyond `before`, so with what compiling left behind; an accelerator's own peak where there is one."""
        of_device = self._of_device()
        return self._of_process("VmHWM") - self.before if of_device is None else of_device

    def of_step(self) -> float | None:
        """Beyond `start`; None on an accelerator."""
        return self._of_process("VmHWM") - self.start if self._of_device() is None else None
