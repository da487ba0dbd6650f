# SPDX-License-Identifier: MIT
"""One way to refuse: who, what was expected and found, what to do."""


def require(
    condition: object, who: str, message: str, remedy: str, error: type[Exception] = ValueError
) -> None:
    """Raise ``error`` unless ``condition`` holds.

    Parameters
    ----------
    condition
        Anything with a truth value.
    who
        The class or function that refuses.
    message
        What was expected and what was found, with units; no full stop at the end.
    remedy
        What to do; the full stop is added where it is missing.
    error
        The exception's class.

    Raises
    ------
    ValueError
        Or ``error``, with the text ``"who: message. remedy"``.

    Examples
    --------
    >>> require(2 > 1, "LennardJones", "cutoff must be positive, found -1 nm", "Give it in nm")
    >>> require(2 < 1, "LennardJones", "cutoff must be positive, found -1 nm", "Give it in nm")
    Traceback (most recent call last):
    ValueError: LennardJones: cutoff must be positive, found -1 nm. Give it in nm.
    """
    if not condition:
        raise error(f"{who}: {message}. {remedy.rstrip('.')}.")
