"""fastcnn doctor: the machine, threads, reach, versions, and a self-test of the kernels."""
from __future__ import annotations

import click

from fastcnn import _native
from fastcnn.cli import show
from fastcnn.cli.examine import doctor
from fastcnn.cli.options import AS_JSON

HELP = """Shows the machine as fastcnn sees it, how many threads it takes and why, the arithmetic and bandwidth it reaches, versions, and
checks small networks at every instruction set of this CPU against numpy. Exits with 1 where one is wrong.
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
            tried = {kind for line in found["kernels"] for kind in line["steps"]}
            wrong = [line for line in found["kernels"] if not line["ok"]]
            show.table(("instruction set", "networks", "largest difference", "wrong"), [
                [level, str(len(lines)), f"{max(line['difference'] for line in lines):.2g}", str(sum(not line["ok"] for line in lines))]
                for level in found["build"]["levels"] for lines in [[ln for ln in found["kernels"] if ln["instruction_set"] == level]]])
            show.lines([f"warning: {line['network']} at {line['instruction_set']}: {line['difference']:.3g}" for line in wrong]
                       or [f"all right: {len(tried)} of {len(_native.step_fields())} kinds of steps were tried"])
    ctx.exit(int(check and not found["ok"]))
