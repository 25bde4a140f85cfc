"""How often one address may knock.

What lives here: a bucket of tokens an address, in bounded memory. What does not: who is behind an
address; a signature is not looked at before the bucket has been.
"""

from __future__ import annotations

from collections import OrderedDict

ADDRESSES = 4096
"""Addresses remembered; the one that was heard of longest ago is forgotten first."""


class Buckets:
    """``rate`` requests a second and address, twice as many at once; 0 switches it off."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, address: str, now: float) -> bool:
        """Whether one more request of ``address`` may come in at ``now`` (seconds that only grow)."""
        if not self.rate:
            return True
        most = 2 * self.rate
        tokens, at = self._left.pop(address, (most, now))
        tokens = min(most, tokens + (now - at) * self.rate)
        admitted = tokens >= 1
        self._left[address] = tokens - admitted, now
        if len(self._left) > ADDRESSES:
            self._left.popitem(last=False)
        return admitted
