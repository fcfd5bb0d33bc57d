"""fastcnn knobs: the environment variables."""
from __future__ import annotations

import click

from fastcnn.analysis.knobs import COLUMNS, KNOBS, knobs
from fastcnn.cli import show
from fastcnn.cli.options import AS_JSON


@click.command("knobs", help="Every environment variable that fastcnn reads: type, default, value now, when it is read, meaning.")
@AS_JSON
def command(as_json: bool) -> None:
    if as_json:
        show.as_json(knobs())
        return
    show.table(COLUMNS, [[knob.name, knob.type, knob.default, knob.value or "", knob.read, knob.meaning] for knob in KNOBS])
