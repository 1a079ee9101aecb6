"""What a line of the bench finds, and the arithmetic of it: percentiles, medians, ratios, targets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Self

AT_LEAST = "at least"
AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio has to be: `at_least(0.5)`, `at_most(2.5)`."""

    sense: str
    bound: float

    def met_by(self, ratio: float) -> bool:
        """Tell whether a ratio is good enough."""
        return ratio >= self.bound if self.sense == AT_LEAST else ratio <= self.bound

    def __str__(self) -> str:
        return f"{self.sense} {self.bound:.3g}"


def at_least(bound: float) -> Target:
    """Return the target of a ratio that should be great."""
    return Target(AT_LEAST, bound)


def at_most(bound: float) -> Target:
    """Return the target of a ratio that should be small."""
    return Target(AT_MOST, bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One row of the table: our samples, those of the floor or ceiling beside them round by round, and the target.

    Without a reference the figure itself is held to the target, in its own unit.
    """

    work: str
    what: str
    unit: str
    ours: Sequence[float]
    reference: str = ""
    theirs: Sequence[float] = ()
    target: Target | None = None

    @property
    def figure(self) -> float:
        """The median of our samples."""
        return median(self.ours)

    @property
    def reference_figure(self) -> float | None:
        """The median of the reference's samples."""
        return median(self.theirs) if self.theirs else None

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios: a machine that drifts drifts for both sides of a round."""
        if not self.theirs:
            return None
        return median(ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the target is met, None where there is none."""
        if self.target is None:
            return None
        return self.target.met_by(self.figure if self.ratio is None else self.ratio)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, raw samples included, for the results' files."""
        return {
            "work": self.work,
            "measure": self.what,
            "unit": self.unit,
            "figure": self.figure,
            "samples": list(self.ours),
            "reference": self.reference or None,
            "reference_figure": self.reference_figure,
            "reference_samples": list(self.theirs),
            "ratio": self.ratio,
            "target": str(self.target) if self.target else None,
            "met": self.met,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """Return what `as_dict` made a dictionary of."""
        sense, _, bound = (found["target"] or "").rpartition(" ")
        return cls(
            work=found["work"],
            what=found["measure"],
            unit=found["unit"],
            ours=found["samples"],
            reference=found["reference"] or "",
            theirs=found["reference_samples"],
            target=Target(sense, float(bound)) if bound else None,
        )


@dataclass(frozen=True, slots=True)
class Curve:
    """A growth curve: the values of each series over the sizes."""

    name: str
    x: str
    y: str
    sizes: Sequence[float]
    series: Mapping[str, Sequence[float]]
    logarithmic: bool = True


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a line found."""

    measures: Sequence[Measure]
    curves: Sequence[Curve] = ()
    notes: dict[str, Any] = field(default_factory=dict)


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the least sample that this share (0 to 1) of all does not exceed."""
    ranked = sorted(samples)
    return ranked[max(math.ceil(share * len(ranked)), 1) - 1]


def milliseconds(samples: Sequence[float], share: float) -> float:
    """Return a percentile of latencies in seconds as milliseconds."""
    return percentile(samples, share) * 1000
