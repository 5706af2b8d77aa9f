"""Seeds derived from names, so that no random choice depends on the order or place of another."""

import hashlib


def derive_seed(seed: int, *names: str) -> int:
    """A 63-bit seed for one use of randomness: SHA-256 of the pipeline's ``seed`` and the ``names`` of the use."""
    digest = hashlib.sha256("/".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
