# SPDX-License-Identifier: MIT
"""A small network of Gaussian features of r, on top of a fixed repulsive prior."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from openmmgrad.errors import require
from openmmgrad.potentials.analytic import SoftSphere
from openmmgrad.potentials.base import Pair, PairPotential
from openmmgrad.units import plain


class MLPPotential(PairPotential):
    r"""A network with a prior: :math:`u(r) = s\,(1 - r^2/r_c^2)^3\,N(r) + u_\text{prior}(r)`.

    N is a multilayer perceptron (ELU, float64) of Gaussian features of r, equally spaced over [0, cutoff]
    with their spacing as width. The envelope makes u, u' and u'' vanish at the cutoff, so no truncation is
    applied. The last layer starts small: before training u is the prior to about a hundredth of s.

    Parameters
    ----------
    cutoff
        nm.
    n_coefficients
        K of the projection.
    width, layers
        Size and number of hidden layers.
    features
        Number of Gaussians.
    prior
        A PairPotential, used with its truncation and with its parameters as they are (freeze them with
        ``requires_grad_(False)``); None for none; "repulsive" for a fixed
        :math:`2s(\sigma/r)^6` with sigma = 0.36 cutoff, shifted in energy and force. It keeps particles apart
        where no pair was ever seen and the network is free.
    scale
        s, kJ/mol; the default is kT at 300 K, so that the network's output is of order one.
    seed
        Of the initial weights; the global random state is left alone.
    core
        Edge of the core, kT.

    Raises
    ------
    ValueError
        For sizes below 1, a scale that is not positive, or a prior that reaches beyond the cutoff.
    TypeError
        If the prior is not a PairPotential.

    Notes
    -----
    Where g(r) = 0 the data do not determine the network: the prior does.

    References
    ----------
    W. Wang, Z. Wu, R. Gomez-Bombarelli, J. Chem. Phys. 158, 044113 (2023), arXiv:2209.07679, section II.

    Examples
    --------
    >>> u = MLPPotential(cutoff=0.9, seed=3)
    >>> sum(p.numel() for p in u.parameters() if p.requires_grad)
    36481
    """

    pair_dependent = False
    temperature_dependent = False

    def __init__(
        self,
        cutoff: float,
        n_coefficients: int = 64,
        width: int = 128,
        layers: int = 3,
        features: int = 25,
        prior: PairPotential | str | None = "repulsive",
        scale: float = 2.494,
        seed: int = 0,
        core: float = 50.0,
    ) -> None:
        super().__init__(cutoff, n_coefficients, truncation="none", core=core)
        who = "MLPPotential"
        require(
            min(width, layers) >= 1 and features >= 2,
            who,
            f"expected width and layers >= 1 and features >= 2, found {width}, {layers} and {features}",
            "Use 128, 3 and 25",
        )
        self.scale = float(plain(scale, "kJ/mol"))
        require(self.scale > 0, who, f"scale must be positive, found {scale} kJ/mol", "kT is a good choice")
        if isinstance(prior, str):
            require(
                prior == "repulsive", who, f"unknown prior {prior!r}", 'Use "repulsive" or a PairPotential'
            )
            prior = SoftSphere(
                2 * self.scale, 0.36 * self.cutoff, self.cutoff, power=6, truncation="shift-force"
            ).requires_grad_(False)
        require(
            prior is None or isinstance(prior, PairPotential),
            who,
            f"prior must be a PairPotential or None, found {type(prior).__name__}",
            "Wrap a torch module in ModulePotential",
            TypeError,
        )
        require(
            prior is None or prior.cutoff <= self.cutoff,
            who,
            f"the prior's cutoff must be at most {self.cutoff} nm, found {prior and prior.cutoff} nm",
            "Give both the same cutoff",
        )
        self.prior = prior
        if prior is not None:
            self.pair_dependent = prior.pair_dependent
            self.temperature_dependent = prior.temperature_dependent
        self.register_buffer("centers", torch.linspace(0, self.cutoff, features, dtype=torch.float64))
        self.network = _perceptron(features, width, layers, seed)

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        spacing = self.cutoff / (self.centers.shape[0] - 1)
        features = torch.exp(-0.5 * ((r.unsqueeze(-1) - self.centers) / spacing) ** 2)
        envelope = (1 - (r / self.cutoff) ** 2).clamp(min=0) ** 3
        u = self.scale * envelope * self.network(features).squeeze(-1)
        return u if self.prior is None else u + self.prior.truncated_energy(r, pair, temperature)


def _perceptron(features: int, width: int, layers: int, seed: int) -> nn.Sequential:
    sizes: list[Any] = [features] + [width] * layers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        steps: list[nn.Module] = []
        for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
            steps += [nn.Linear(n_in, n_out, dtype=torch.float64), nn.ELU()]
        last = nn.Linear(width, 1, dtype=torch.float64)
    with torch.no_grad():
        last.weight *= 0.01
        last.bias.zero_()
    return nn.Sequential(*steps, last)
