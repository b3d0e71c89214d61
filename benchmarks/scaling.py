"""How time and memory of a search step grow with batch, layers, channels and nodes.

Beside the JSON file, one picture for every space and order.
"""

from . import harness, search_step

AXES = {
    "batch": [8, 16, 32, 64],
    "layers": [4, 8, 12, 16],
    "channels": [8, 16, 24, 32],
    "nodes": [2, 3, 4, 5],
}
QUICK_AXES = {"batch": [2, 4], "layers": [3, 4], "channels": [4, 8], "nodes": [2, 3]}
QUANTITIES = {"median": (1, "seconds a step"), "peak_memory": (1e9, "peak memory above imports, GB")}


def parser():
    parser = search_step.parser()
    parser.description = __doc__
    parser.set_defaults(space=["darts"], order=[1], steps=3, layout="channels_last")
    parser.add_argument("--axis", nargs="+", choices=AXES, default=list(AXES), help="what to vary")
    return parser


def rows_of(base, options):
    for axis in options.axis:
        for value in (QUICK_AXES if options.quick else AXES)[axis]:
            config = {**base, axis: value}
            name = f"{search_step.label(config)}, {axis} {value}"
            for row in harness.measure(name, harness.contenders(options, config), options.steps):
                yield {**row, "axis": axis, "value": value}


def draw_panel(panel, rows, axis, quantity):
    scale, title = QUANTITIES[quantity]
    for contender in dict.fromkeys(row["contender"] for row in rows):
        points = [(row["value"], row[quantity] / scale) for row in rows if row["contender"] == contender]
        panel.plot(*zip(*points, strict=True), marker="o", label=contender)
    panel.set(xlabel=axis, ylabel=title, ylim=(0, None), xticks=sorted({row["value"] for row in rows}))
    panel.grid(alpha=0.3)


def draw(rows, title, path):
    """One column an axis; time above, memory below."""
    from matplotlib.figure import Figure

    axes = list(dict.fromkeys(row["axis"] for row in rows))
    figure = Figure(figsize=(4 * len(axes), 6.5), layout="constrained")
    panels = figure.subplots(2, len(axes), squeeze=False)
    for column, axis in enumerate(axes):
        chosen = [row for row in rows if row["axis"] == axis]
        for panel, quantity in zip(panels[:, column], QUANTITIES, strict=True):
            draw_panel(panel, chosen, axis, quantity)
    panels[0, 0].legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def main(argv=None):
    options = harness.parse(parser(), argv)
    bases = search_step.configurations(options)
    groups = {search_step.label(base): list(rows_of(base, options)) for base in bases}
    path = harness.write("scaling", [row for rows in groups.values() for row in rows], options)
    for title, rows in groups.items():
        picture = path.with_name(f"{path.stem}_{title.replace(', ', '_').replace(' ', '')}.png")
        draw(rows, f"A search step: {title}", picture)
        print(f"written: {picture}")


if __name__ == "__main__":
    main()
