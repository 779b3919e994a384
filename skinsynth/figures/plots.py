"""Plots of the book, each from one table: lines, intervals, heat maps, points."""

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt

from ..core.config import CLASSES
from .grids import CLASS_COLORS, PAGE

MARKS = "os^Dv"


def curves(
    data,
    x,
    y,
    by=None,
    band=None,
    dotted=None,
    bars=False,
    marked=(),
    diagonal=False,
    xlabel=None,
    ylabel=None,
    ylim=None,
    log=False,
    size=(5, 2.6),
):
    """Lines of y against x, one for each value of `by`, in the order of the table.

    band: column of half widths drawn as a shade; dotted: a second column, drawn dotted in the line's colour; bars: draw "<y> low" and "<y> high" as bars; marked:
    values of x with a mark of their own; diagonal: a dotted line y = x; size in inches.
    """
    figure, axes = plt.subplots(figsize=size)
    for k, (name, line) in enumerate(
        [(None, data)] if by is None else data.groupby(by, sort=False)
    ):
        line = line.dropna(subset=[y])
        style = dict(marker=MARKS[k % len(MARKS)], label=name)
        if bars:
            ends = [line[y] - line[f"{y} low"], line[f"{y} high"] - line[y]]
            axes.errorbar(
                line[x], line[y], ends, markersize=3, linestyle="-" if k % 2 == 0 else ":", **style
            )
        else:
            axes.plot(line[x], line[y], **style)
        if dotted:
            axes.plot(line[x], line[dotted], ":", color=axes.lines[-1].get_color())
        if band:
            axes.fill_between(line[x], line[y] - line[band], line[y] + line[band], alpha=0.2)
        own = line[line[x].isin(marked)]
        axes.plot(own[x], own[y], "s", color="#D55E00")
    if diagonal:
        axes.plot([0, 1], [0, 1], ":", color="#888888")
    axes.set(xlabel=xlabel or x, ylabel=ylabel or y, yscale="log" if log else "linear")
    if ylim:
        axes.set_ylim(*ylim)
    if by:
        axes.legend(fontsize=7)
    return figure


def forest(data, xlabel, reference=None):
    """Estimates with their 95 % intervals, one a line: columns label, value, low, high, n.

    reference: where a dotted line stands.
    """
    figure, axes = plt.subplots(figsize=(5.6, 0.5 + 0.3 * len(data)))
    for y, e in enumerate(data.itertuples()):
        axes.plot([e.low, e.high], [y, y], color="#0072B2", solid_capstyle="butt")
        axes.plot(e.value, y, "o", color="#0072B2")
    if reference is not None:
        axes.axvline(reference, color="#888888", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(data)), [f"{e.label} (n = {e.n})" for e in data.itertuples()])
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlabel(xlabel)
    return figure


def heatmaps(
    data,
    row,
    by=None,
    xlabel="",
    ylabel="",
    cmap="cividis",
    fmt=".1f",
    limits=(None, None),
    size=None,
):
    """Numbers of a table as colours: column `row` names the lines, `by` the panels side by side."""
    panels = [(None, data)] if by is None else list(data.groupby(by, sort=False))
    figure, axes = plt.subplots(
        1, len(panels), figsize=size or (PAGE, 2.9), sharey=True, squeeze=False
    )
    for ax, (name, part) in zip(axes[0], panels, strict=True):
        matrix = part.set_index(row).drop(columns=[by] if by else [])
        sns.heatmap(
            matrix,
            ax=ax,
            vmin=limits[0],
            vmax=limits[1],
            cmap=cmap,
            cbar=False,
            square=True,
            annot=True,
            fmt=fmt,
            annot_kws={"size": 6},
        )
        ax.set(title=name or "", xlabel=xlabel, ylabel="")
    axes[0, 0].set_ylabel(ylabel)
    return figure


def scatter(data, x, y, by, xlabel=None, ylabel=None):
    """Points of two sets in one plane: all classes together, then one small panel for each.

    data: columns x, y, "class" and `by`, whose first value is drawn as dots, the other as triangles.
    """
    figure = plt.figure(figsize=(PAGE, 3.8))
    shape = figure.add_gridspec(2, 6)
    wide = figure.add_subplot(shape[:, :2])
    small = [figure.add_subplot(shape[k // 4, 2 + k % 4]) for k in range(7)]
    first = data[by] == data[by].iloc[0]
    for c, own in zip(CLASSES, small, strict=True):
        for axes in (wide, own):
            a, b = (data[(data["class"] == c) & kind] for kind in (first, ~first))
            axes.scatter(
                a[x], a[y], s=9, marker="o", color=CLASS_COLORS[c], alpha=0.7, linewidths=0
            )
            axes.scatter(
                b[x],
                b[y],
                s=11,
                marker="^",
                facecolors="none",
                edgecolors=CLASS_COLORS[c],
                linewidths=0.7,
            )
        own.set_title(c, fontsize=8)
    for axes in small:
        axes.set(xlim=wide.get_xlim(), ylim=wide.get_ylim(), xticks=[], yticks=[])
    counts = np.bincount(first.astype(int), minlength=2)
    wide.set(
        xlabel=xlabel or x,
        ylabel=ylabel or y,
        title=f"all classes, n = {counts[1]} and {counts[0]}",
    )
    return figure
