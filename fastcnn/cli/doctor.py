"""fastcnn doctor: the machine, threads, reach, versions, and a self-test of the kernels."""
from __future__ import annotations

from typing import Any

import click

from fastcnn.cli import show
from fastcnn.cli.examine import doctor
from fastcnn.cli.options import AS_JSON

HELP = """Shows the machine as fastcnn sees it, how many threads it takes and why, the arithmetic and bandwidth it reaches, versions, and
checks small networks, which reach every kind of step, at every instruction set of this CPU against numpy. Exits with 1 where one is wrong.
"""


@click.command("doctor", help=HELP)
@AS_JSON
@click.option("--measure/--no-measure", default=True, help="Measure what the machine reaches (a second).")
@click.option("--check/--no-check", default=True, help="Test the kernels.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, measure: bool, check: bool) -> None:
    found = doctor(measure, check)
    if as_json:
        show.as_json(found)
    else:
        for part in ("machine", "threads", "build", "reach", "versions"):
            if part in found:
                rows = [[name, ", ".join(map(str, value)) if isinstance(value, list) else f"{value:.1f}" if isinstance(value, float)
                         else "" if value is None else str(value)] for name, value in found[part].items()]
                show.table((part.capitalize(), ""), rows)
        if check:
            _show_kernels(found["kernels"], found["steps"])
    ctx.exit(int(check and not found["ok"]))


def _show_kernels(kernels: list[dict[str, Any]], steps: list[dict[str, Any]]) -> None:
    """A row an instruction set; then what is wrong, and what could not be tried."""
    rows = []
    for level in steps:
        lines = [line for line in kernels if line["instruction_set"] == level["instruction_set"]]
        rows.append([level["instruction_set"], str(len(lines)), f"{level['tried']} of {level['of']}",
                     f"{max(line['difference'] for line in lines):.2g}", str(sum(not line["ok"] for line in lines))])
    show.table(("instruction set", "networks", "kinds of steps", "largest difference", "wrong"), rows)
    wrong = [f"warning: {line['network']} at {line['instruction_set']}: {line['difference']:.3g}" for line in kernels if not line["ok"]]
    show.lines([f"{kind} not tried at {level['instruction_set']}: {why}" for level in steps for kind, why in level["not_tried"].items()])
    show.lines(wrong or ["all right"])
