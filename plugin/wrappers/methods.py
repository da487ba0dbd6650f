# SPDX-License-Identifier: MIT
# Methods of LearnablePairForce: SWIG copies this file into the class.
def getCoefficients(self, type1, type2):
    """The coefficients of a pair of types: numpy [K], kJ/mol."""
    values = _numpy.empty(self.getNumCoefficients())
    self._getCoefficients(type1, type2, values)
    return values


def setCoefficients(self, type1, type2, coefficients):
    """Set the coefficients of a pair of types: [K], kJ/mol (array or Quantity). Contexts see them after
    updateParametersInContext()."""
    values = _plain(coefficients, _unit.kilojoule_per_mole)
    if _numpy.ndim(values) != 1:
        raise ValueError(
            f"LearnablePairForce: coefficients of shape [K={self.getNumCoefficients()}] were expected, found "
            f"{list(_numpy.shape(values))}. Set one pair of types at a time."
        )
    self._setCoefficients(type1, type2, values)


def addParticles(self, types):
    """Add one particle for each entry of an integer array [N]."""
    self._addParticles(_integers(types, "types"))


def getParticleTypes(self):
    """The types of all particles: numpy [N], int32."""
    types = _numpy.empty(self.getNumParticles(), dtype=_numpy.intc)
    self._getParticleTypes(types)
    return types


def getExclusionParticles(self, index):
    """The two particles of an exclusion, as a pair of int."""
    pair = _numpy.empty(2, dtype=_numpy.intc)
    self._getExclusion(index, pair)
    return int(pair[0]), int(pair[1])


def createExclusionsFromBonds(self, bonds, bondCutoff):
    """Exclude all pairs at most bondCutoff bonds apart; bonds: pairs of particle indices."""
    bonds = _integers(list(bonds), "bonds")
    if bonds.size and (bonds.ndim != 2 or bonds.shape[1] != 2):
        raise ValueError(
            f"LearnablePairForce: bonds of shape [B, 2] were expected, found {list(bonds.shape)}. "
            f"Give one pair of particles per bond."
        )
    self._createExclusionsFromBonds(bonds, bondCutoff)


def addInteractionGroup(self, set1, set2):
    """Restrict the force to pairs between two sets of particles. A pair interacts once if any group holds it;
    at most 64 groups. Returns the group's index."""
    return self._addInteractionGroup(_integers(set1, "set1"), _integers(set2, "set2"))


def getInteractionGroupParameters(self, index):
    """The two sets of an interaction group, as a pair of set."""
    return self._getInteractionGroup(index)


def setInteractionGroupParameters(self, index, set1, set2):
    """Change the two sets of an interaction group."""
    self._setInteractionGroup(index, _integers(set1, "set1"), _integers(set2, "set2"))


def updateParametersInContext(self, context):
    """Copy particle types and coefficients to a Context. Nothing else can be changed so."""
    self._updateParametersInContext(context)


def computeCoefficientDerivatives(self, context):
    """dU/dc at the Context's positions: numpy [P, K], dimensionless; U = sum(c * dU/dc)."""
    derivatives = _numpy.empty((self.getNumTypePairs(), self.getNumCoefficients()))
    self._computeCoefficientDerivatives(context, derivatives)
    return derivatives


def computeHessianVectorProduct(self, context, vectors, inPrecisionOfForces=False):
    """What one adjoint step needs, in one pass over the pairs, for vectors (lambda) of shape [N, 3].

    Returns (dF/dx lambda: numpy [N, 3], kJ/mol/nm^2 times the unit of lambda;
    (dF/dc)^T lambda: numpy [P, K], 1/nm times the unit of lambda). In double precision where the platform has it, or
    faster in that of forces.
    """
    vectors = _numpy.ascontiguousarray(vectors, dtype=_numpy.float64)
    if vectors.shape != (self.getNumParticles(), 3):
        raise ValueError(
            f"LearnablePairForce: lambda of shape [{self.getNumParticles()}, 3] was expected, found "
            f"{list(vectors.shape)}. Give one vector per particle."
        )
    product = _numpy.empty_like(vectors)
    parameterProduct = _numpy.empty((self.getNumTypePairs(), self.getNumCoefficients()))
    self._computeHessianVectorProduct(context, vectors, product, parameterProduct, inPrecisionOfForces)
    return product, parameterProduct


def computeVirial(self, context):
    """(W: numpy [3, 3], kJ/mol, W_ab = sum of F_a r_b over pairs; d(tr W)/dc: numpy [P, K], dimensionless).
    The pressure is (N kT + tr W / 3)/V in kJ/mol/nm^3."""
    virial = _numpy.empty((3, 3))
    derivatives = _numpy.empty((self.getNumTypePairs(), self.getNumCoefficients()))
    self._computeVirial(context, virial, derivatives)
    return virial, derivatives


def __copy__(self):
    return self._copy()


def __deepcopy__(self, memo):
    return self._copy()


def __setstate__(self, xml):
    self.this = LearnablePairForce.cast(_openmm.XmlSerializer.deserialize(xml)).this


@staticmethod
def isinstance(force):
    """Whether an openmm.Force, for example system.getForce(0), is a LearnablePairForce."""
    return LearnablePairForce._cast(force) is not None


@staticmethod
def cast(force):
    """The same force with the methods of LearnablePairForce; TypeError if it is another kind of force.

    System.getForce() and XmlSerializer.deserialize() give plain openmm.Force objects.
    """
    if type(force) is LearnablePairForce:
        return force
    if "_owner" in vars(force):
        return force._owner
    result = LearnablePairForce._cast(force)
    if result is None:
        raise TypeError(
            f"LearnablePairForce: a LearnablePairForce was expected, found {type(force).__name__} "
            f"named '{force.getName()}'. Check with LearnablePairForce.isinstance(force)."
        )
    if force.thisown:
        # Whoever holds either object keeps the force alive.
        force.this.disown()
        result.this.acquire()
        force._owner = result
    return result
