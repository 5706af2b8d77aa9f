"""The live page, ``python -m tools.demo``: a photograph, one dial per ability, and what the dials do to the picture."""
