"""ASE's calculator for several threads."""

from typing import Any

from ase.calculators.calculator import Calculator, equal

from .errors import InputError
from .sharing import Lock


class SharedCalculator(Calculator):
    """A calculator of ASE that threads may share, and whose parameters stay those it was made with.

    What ASE remembers, atoms and results, is asked for and replaced in steps: by one thread at a time.
    """

    _is_made = False  # ASE's constructor sets parameters, too

    def __init__(self, **kwargs: Any) -> None:
        self._one_at_a_time = Lock()
        super().__init__(**kwargs)
        self._is_made = True

    def __setattr__(self, name: str, value: Any) -> None:
        """An attribute that holds a parameter stays as it was made: `calc.field = ...` is refused as `set` does."""
        if self._is_made and name in self.parameters:
            self.set(**{name: value})  # leaves what is equal, and refuses the rest
            return
        super().__setattr__(name, value)

    def set(self, **changes):
        """Refuse to become another calculator: what evaluates was made from the arguments (ASE's interface).

        Raises:
            InputError: a parameter would change after the calculator was made.
        """
        others = sorted(name for name, value in changes.items() if not equal(self.parameters.get(name), value))
        if others and self._is_made:
            raise InputError(
                f"set() would change {', '.join(others)} of a calculator that is made",
                "energies would go on being those of before",
                f"make another: {type(self).__name__}(...)",
            )
        return super().set(**changes)

    def get_property(self, name, atoms=None, allow_calculation=True):
        """One result of a structure, computed unless it is known (ASE's interface)."""
        with self._one_at_a_time:
            return super().get_property(name, atoms, allow_calculation)

    def calculate_properties(self, atoms, properties):
        """Several results of a structure together (ASE's interface)."""
        with self._one_at_a_time:
            return super().calculate_properties(atoms, properties)

    def calculation_required(self, atoms, properties):
        """Whether one of some results is not known (ASE's interface)."""
        with self._one_at_a_time:
            return super().calculation_required(atoms, properties)

    def reset(self):
        """Forget atoms and results (ASE's interface)."""
        with self._one_at_a_time:
            super().reset()

    def get_atoms(self):
        """The last structure, with this calculator (ASE's interface)."""
        with self._one_at_a_time:
            return super().get_atoms()
