"""Plots of the book, each from one table: lines, intervals, heat maps, points."""

import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.ticker import EngFormatter

from ..core.config import CLASSES
from .grids import CLASS_COLORS, PAGE

MARKS = "os^Dv"


def _above(figure, *lines, **look):
    """A legend above the axes, where it covers no line, in as many columns, at most three, as the figure is wide."""
    for columns in (3, 2, 1):
        made = figure.legend(*lines, loc="outside upper center", ncols=columns, **look)
        if columns == 1 or made.get_window_extent().width <= figure.bbox.width:
            return
        made.remove()


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
    size=(5, 2.6),
    **axis,
):
    """Lines of y against x, one for each value of `by`, in the order of the table.

    band: column of half widths drawn as a shade; dotted: a second column, drawn dotted in the line's colour; bars: draw "<y> low" and "<y> high" as bars; marked:
    values of x with a mark of their own; diagonal: a dotted line y = x; size in inches; axis: what matplotlib's Axes.set takes, such as xlabel and ylim.
    """
    figure, axes = plt.subplots(figsize=size)
    lines = [(None, data)] if by is None else data.groupby(by, sort=False)
    for k, (name, line) in enumerate(lines):
        line = line.dropna(subset=[y])
        style = dict(marker=MARKS[k % len(MARKS)], label=name)
        if bars:
            ends = [line[y] - line[f"{y} low"], line[f"{y} high"] - line[y]]
            style |= dict(linestyle="-" if k % 2 == 0 else ":", markersize=3)
            axes.errorbar(line[x], line[y], ends, **style)
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
    axes.set(**dict(xlabel=x, ylabel=y) | axis)
    if by:
        _above(figure, fontsize=7)
    return figure


def panels(data, x, measures, by, xlabel, size=(5.2, 4.4)):
    """A panel for each of four measures, columns of the table: a line for each value of `by`, shaded from
    "<measure> low" to "<measure> high"."""
    figure, axes = plt.subplots(2, 2, figsize=size)
    for y, ax in zip(measures, axes.flat, strict=True):
        for k, (name, line) in enumerate(data.groupby(by, sort=False)):
            ax.plot(line[x], line[y], marker=MARKS[k % len(MARKS)], markersize=3, label=name)
            ax.fill_between(line[x], line[f"{y} low"], line[f"{y} high"], alpha=0.12, linewidth=0)
        ax.set_title(y.replace(", ", ",\n"), fontsize=8)
        ax.set(xlabel=xlabel, ylim=(0, None))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    _above(figure, *axes.flat[0].get_legend_handles_labels(), fontsize=8)
    return figure


def forest(data, xlabel):
    """Estimates with their 95 % intervals, one a line: columns label, value, low, high, n."""
    figure, axes = plt.subplots(figsize=(5.6, 0.5 + 0.3 * len(data)))
    for y, e in enumerate(data.itertuples()):
        axes.plot([e.low, e.high], [y, y], color="#0072B2", solid_capstyle="butt")
        axes.plot(e.value, y, "o", color="#0072B2")
    axes.set_yticks(range(len(data)), [f"{e.label} (n = {e.n})" for e in data.itertuples()])
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlabel(xlabel)
    return figure


def heatmaps(
    data, row, by=None, xlabel="", ylabel="", limits=(None, None), size=(PAGE, 2.9), **look
):
    """Numbers of a table as colours: column `row` names the lines, `by` the panels side by side.

    limits: smallest and largest number of the colours; look: cmap and fmt, as in seaborn's heatmap.
    """
    panels = [(None, data)] if by is None else list(data.groupby(by, sort=False))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    look = dict(cmap="cividis", fmt=".1f", vmin=limits[0], vmax=limits[1]) | look
    look |= dict(annot=True, annot_kws={"size": 6}, cbar=False, square=True)
    for ax, (name, part) in zip(axes[0], panels, strict=True):
        sns.heatmap(part.set_index(row).drop(columns=[by] if by else []), ax=ax, **look)
        ax.set(title=name or "", xlabel=xlabel, ylabel="")
    axes[0, 0].set_ylabel(ylabel)
    return figure


def scatter(data, x, y, by=None, xlabel=None, ylabel=None):
    """Points of one or two sets in one plane: all classes together, then one small panel for each.

    data: columns x, y, "class" and `by`, whose first value is drawn as dots, the other as triangles; without
    `by` all are dots.
    """
    figure = plt.figure(figsize=(PAGE, 3.8))
    shape = figure.add_gridspec(2, 6)
    wide = figure.add_subplot(shape[:, :2])
    small = [figure.add_subplot(shape[k // 4, 2 + k % 4]) for k in range(7)]
    first = data[by] == data[by].iloc[0] if by else data[x].notna()
    dots = dict(s=9, marker="o", alpha=0.7, linewidths=0)
    triangles = dict(s=11, marker="^", facecolors="none", linewidths=0.7)
    for c, own in zip(CLASSES, small, strict=True):
        for axes in (wide, own):
            for kind, look in ((first, dots), (~first, triangles)):
                part = data[(data["class"] == c) & kind]
                axes.scatter(part[x], part[y], color=CLASS_COLORS[c], **look)
        own.set_title(c, fontsize=8)
    for axes in small:
        axes.set(xlim=wide.get_xlim(), ylim=wide.get_ylim(), xticks=[], yticks=[])
    second = f" and {(~first).sum()}" if by else ""
    title = f"all classes, n = {first.sum()}{second}"
    wide.set(xlabel=xlabel or x, ylabel=ylabel or y, title=title)
    return figure


def verdicts(data, colours, xlabel, reach=6):
    """Intervals of many claims on one scale, the claimed side to the right of zero: columns label, value, low, high,
    verdict, and equivalence, where the scale is the margin, drawn as a grey field.

    colours: {verdict: colour}; reach: beyond it a triangle at the edge stands for the interval.
    """
    figure, axes = plt.subplots(figsize=(PAGE, 0.9 + 0.24 * len(data)))
    axes.axvline(0, color="#444444", linewidth=0.8)
    for y, e in enumerate(data.itertuples()):
        colour = colours[e.verdict]
        if e.equivalence:
            axes.fill_between([-1, 1], y - 0.42, y + 0.42, color="#DDDDDD", linewidth=0)
        axes.plot([max(e.low, -reach), min(e.high, reach)], [y, y], color=colour)
        mark = "o" if abs(e.value) < reach else "<>"[e.value > 0]
        axes.plot(max(min(e.value, reach), -reach), y, mark, color=colour, clip_on=False)
    for verdict, colour in colours.items():
        axes.plot([], [], "o-", color=colour, label=verdict)
    axes.set_yticks(range(len(data)), data.label)
    axes.set(xlim=(-reach, reach), ylim=(len(data) - 0.5, -0.5), xlabel=xlabel)
    figure.legend(loc="outside upper right", ncols=len(colours))
    return figure
