"""Second derivatives by DFT without the interaction of dipoles that no potential of finite range can learn."""

from dataclasses import replace

from ...base.errors import InputError
from ...derivatives.crystals import scaled_positions
from ...phonons.polar import DipoleInteraction, checked_width, read_correction
from ...phonons.polar.charges import Born
from ..values import SecondOrder
from .frames import Frame


def without_dipoles(frame: Frame, born: Born, width: float) -> Frame:
    """A crystal's matrices less D_long(q), so that what is learned is of finite range: D_model = D_DFT - D_long.

    A potential trained on these is used with the same charges and width (`PolarCalculator(calc, atoms, born, width)`).
    Energies, forces and stresses, which contain the interaction, are left out.

    Args:
        frame: with second derivatives at wave vectors of a supercell, as displacements give them (`read_frames` of
            phonopy's files): nothing non-analytic at Gamma.
        born: file in phonopy's BORN format, or `nac_params`, of its atoms.
        width: L of the window [1/Å].

    Returns:
        the frame with second derivatives alone.

    Raises:
        InputError: a frame without second derivatives; charges that are not of this crystal; a width that is none.
    """
    if frame.second is None:
        raise InputError(
            f"{frame.origin or 'a frame'} has no second derivatives",
            "dipoles are taken off matrices D(q)",
            "read a phonopy yaml file with force constants or force sets",
        )
    atoms, qpoints = frame.atoms, frame.second.qpoints
    used = read_correction(born, atoms)
    dipoles = DipoleInteraction(
        atoms.cell.array, scaled_positions(atoms), used.charges, used.dielectric, checked_width(width), used.factor
    )
    second = SecondOrder(qpoints, frame.second.matrices - dipoles.lattice_matrices(qpoints))
    return replace(Frame(atoms, second=second), weights=frame.weights, origin=frame.origin)
