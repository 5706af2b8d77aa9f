"""Seeds derived from names, so that no random choice depends on the order or place of another."""

import hashlib


def derive_seed(seed: int, *names: str) -> int:
    """Derive a 63-bit seed for one use of randomness from the pipeline's ``seed`` and the ``names`` of the use.

    It is the start of a SHA-256 digest, so that seeds of different uses have nothing to do with each other.
    """
    digest = hashlib.sha256("/".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # 63 bits: torch's generators take signed 64-bit seeds
