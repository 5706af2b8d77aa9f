"""Targets: networks fine-tuned from the baseline, each on its own mixture of degradations."""

from typing import Annotated

from pydantic import Field

from faig.base.params import Name, Positive, settings

CLEAN = "clean"
"""The degradation that the baseline is trained on and that a lone degradation is contrasted with."""


@settings
class TargetParams:
    """``mixture``: relative weight of each degradation in training. ``attribute``: whose filters are sought.

    ``effort``: share of ``finetune.iterations`` spent on this target.
    """

    mixture: Annotated[dict[Name, Positive], Field(min_length=1)]
    attribute: Annotated[tuple[Name, ...], Field(min_length=1)]
    effort: Annotated[float, Field(gt=0, le=1000)]

    def __post_init__(self) -> None:
        if CLEAN in self.attribute or len(set(self.attribute)) < len(self.attribute):
            raise ValueError(f"attribute = {list(self.attribute)} must name each degradation once and never {CLEAN}")

    @property
    def degradations(self) -> list[str]:
        """All degradations that the target's training and scores depend on, ``clean`` included, sorted."""
        return sorted({CLEAN, *self.mixture, *self.attribute})

    @property
    def contrasted(self) -> list[str]:
        """What the filters are sought among: the attributed degradations, with ``clean`` where there is only one."""
        return [*self.attribute, CLEAN] if len(self.attribute) == 1 else list(self.attribute)
