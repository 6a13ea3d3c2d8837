"""What is inside the program that JAX makes of a function."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np


def numbers_inside(program: Any) -> list[np.ndarray]:
    """Constants and literals of a traced program and of the programs inside it, in order."""
    numbers: list[Any] = []
    for bare, constants in _programs(program):
        numbers += constants
        numbers += [x.val for equation in bare.eqns for x in equation.invars if hasattr(x, "val")]
    return [np.asarray(number) for number in numbers]


def lowest_precision(program: Any) -> float:
    """The largest spacing of floating numbers around 1 among all that a traced program computes; 0 without any."""
    results = [x.aval for bare, _ in _programs(program) for equation in bare.eqns for x in equation.outvars]
    dtypes = {result.dtype for result in results if hasattr(result, "dtype")}
    return max((float(jnp.finfo(dtype).eps) for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)), default=0.0)


def _programs(program: Any) -> Iterator[tuple[Any, Sequence[Any]]]:
    """A traced program and those inside it, each with its constants."""
    bare, constants = getattr(program, "jaxpr", program), getattr(program, "consts", ())
    yield bare, constants
    for equation in bare.eqns:
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                if hasattr(part, "eqns") or hasattr(part, "jaxpr"):
                    yield from _programs(part)
