"""Pictures of the growth curves."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.measures import Curve

mpl.rcParams["svg.hashsalt"] = "laurels"


def plot(folder: Path, curve: Curve) -> None:
    """Draw a curve as PNG and SVG."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, values in curve.series.items():
        axes.plot(curve.sizes, values, marker="o", label=name)
    if curve.logarithmic:
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(curve.x)
    axes.set_ylabel(curve.y)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    for kind in ("png", "svg"):
        figure.savefig(folder / f"{curve.name}.{kind}", metadata={"Date": None} if kind == "svg" else None)
