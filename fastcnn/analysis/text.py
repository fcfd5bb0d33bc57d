"""Formats layers and numbers as text for terminals, notebooks and Markdown."""
from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fastcnn.analysis.records import Layer, ReceptiveField

LAYER_COLUMNS = ("layer", "operator", "output", "weights", "biases", "MACs", "activations", "sees", "algorithm", "tile")
# Columns of numbers.
RIGHT = ("weights", "biases", "MACs", "activations", "tile", "ms", "share", "GFLOP/s", "of peak", "GB/s", "perfect ms",
         "batch", "threads", "min ms", "median ms", "p90 ms", "p99 ms", "images/s", "load ms", "first ms", "peak MB", "difference",
         "ratio", "runs")


def amount(count: float, unit: str = "") -> str:
    """A number with three digits and a unit: 1234567 -> "1.23 M"."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {prefix}{unit}" if count < 1000 * size else f"{count / size:.0f} {prefix}{unit}"
    return f"{count:g} {unit}".rstrip()


def operator(layer: Layer) -> str:
    """The operators of a layer: "Conv + BatchNormalization + Relu"."""
    names = [layer.op_type]
    for name in layer.fused:
        if names[-1] == name or names[-1].startswith(f"{name} x"):
            names[-1] = f"{name} x{int(names[-1].partition(' x')[2] or 1) + 1}"
        else:
            names.append(name)
    return " + ".join(names)


def seen(fields: Sequence[ReceptiveField]) -> str:
    """Size, stride and offset of a receptive field: "7x7 /2 -3"; "all" where it is everything."""
    if not fields:
        return ""
    if all(f.size is None for f in fields):
        return "all"

    def joined(values: Sequence[str]) -> str:
        return values[0] if len(set(values)) == 1 else ",".join(values)

    size = "x".join("all" if f.size is None else f"{f.size:g}" for f in fields)
    return f"{size} /{joined([f'{f.stride:g}' for f in fields])} {joined([f'{f.offset:+g}' for f in fields])}"


def layer_cells(layer: Layer, together: str) -> list[str]:
    """The cells of LAYER_COLUMNS. together: the layer with which it runs as one, "" where none comes before."""
    shape = "x".join(map(str, layer.shape)) if layer.shape is not None else "by the data"
    algorithm = f"as one with {together}" if together else layer.algorithm if layer.runs == "native" else layer.runs
    return [layer.name, operator(layer), shape, f"{layer.weights:,}" if layer.weights else "", f"{layer.biases:,}" if layer.biases else "",
            amount(layer.macs) if layer.macs else "", amount(layer.activation_bytes, "B"), seen(layer.fields), algorithm,
            "x".join(map(str, layer.tile)) if layer.tile and not together else ""]


def layer_rows(layers: Sequence[Layer]) -> list[list[str]]:
    """A row of LAYER_COLUMNS for each layer."""
    rows, leaders, last = [], dict[int, str](), -1
    for layer in layers:
        leader = leaders.setdefault(layer.step, "") if layer.step >= 0 else ""
        rows.append(layer_cells(layer, "the layer above" if leader and layer.step == last else leader))
        leaders[layer.step], last = leader or layer.name, layer.step
    return rows


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, numbers to the right."""
    widths = [max(len(name), *(len(row[k]) for row in rows)) if rows else len(name) for k, name in enumerate(columns)]
    return "\n".join("  ".join(cell.rjust(width) if name in RIGHT else cell.ljust(width)
                               for cell, width, name in zip(row, widths, columns)).rstrip() for row in [list(columns), *rows])


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The columns as an HTML table."""
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag} style=\"text-align:{'right' if name in RIGHT else 'left'}\">{escape(cell)}</{tag}>"
                                for cell, name in zip(cells, columns)) + "</tr>"
    return f"<table><thead>{line('th', columns)}</thead><tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"
