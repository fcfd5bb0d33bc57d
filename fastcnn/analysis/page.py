"""A profile as one self-contained HTML page: a table that can be sorted, bars, the roofline, the graph of steps."""
from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape

from fastcnn.analysis.profile import COLUMNS, Profile, Timing
from fastcnn.analysis.text import RIGHT

WIDTH, HEIGHT, MARGIN = 760, 400, 56
BOX, GAP = 190, 26              # width of a box of the graph, room between rows
STYLE = """body{font:14px system-ui,sans-serif;margin:24px;color:#222}table{border-collapse:collapse}
th,td{padding:2px 8px;white-space:nowrap}
th{cursor:pointer;border-bottom:1px solid #888;text-align:left}td.r,th.r{text-align:right}tr:hover,tr.on{background:#eef4ff}
.bar{background:#7aa6e8;height:9px;display:inline-block}pre{background:#f5f5f5;padding:8px}h2{margin-top:28px}svg{background:#fcfcfc}
.on rect,circle.on{stroke:#d22;stroke-width:2}.graph{max-height:600px;overflow:auto;border:1px solid #ddd}"""
SCRIPT = """const body=document.querySelector('tbody');
document.querySelectorAll('th').forEach((head,k)=>head.addEventListener('click',()=>{
  const up=head.dataset.up!=='1';document.querySelectorAll('th').forEach(h=>delete h.dataset.up);head.dataset.up=up?'1':'0';
  const value=row=>{const text=row.children[k].dataset.v;const n=parseFloat(text);return isNaN(n)?text:n};
  const order=(x,y)=>typeof x==='number'&&typeof y==='number'?x-y:String(x).localeCompare(String(y));
  [...body.rows].sort((a,b)=>{const c=order(value(a),value(b));return up?c:-c}).forEach(row=>body.appendChild(row))}));
function mark(k){document.querySelectorAll('.on').forEach(e=>e.classList.remove('on'));
  document.querySelectorAll('[data-k="'+k+'"]').forEach(e=>e.classList.add('on'))}
document.querySelectorAll('[data-k]').forEach(e=>e.addEventListener('click',()=>mark(e.dataset.k)));"""


def page(profile: Profile) -> str:
    """The HTML of a profile."""
    title = escape(f"{profile.model or 'model'}: profile")
    data = json.dumps(profile.to_dict()).replace("</", "<\\/")
    return (f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
            f"<style>{STYLE}</style></head><body><h1>{title}</h1><pre>{escape(chr(10).join(profile.lines()))}</pre>"
            f"<h2>Steps</h2><p>Click a heading to sort, a row to find it below.</p>{_table(profile)}"
            f"<h2>Roofline</h2>{roofline_svg(profile)}"
            f"<h2>Graph</h2><div class='graph'>{graph_svg(profile)}</div>"
            f"<script type='application/json' id='data'>{data}</script>"
            f"<script>{SCRIPT}</script></body></html>")


def _table(profile: Profile) -> str:
    most = max((t.ms for t in profile.timings), default=1.0) or 1.0
    head = "".join(f"<th class='{'r' if name in RIGHT else ''}'>{escape(name)}</th>" for name in (*COLUMNS, "time"))
    rows = []
    for k, (timing, cells) in enumerate(zip(profile.timings, profile.rows())):
        tds = "".join(f"<td class='{'r' if name in RIGHT else ''}' data-v='{escape(cell)}'>{escape(cell)}</td>"
                      for name, cell in zip(COLUMNS, cells))
        bar = f"<td data-v='{timing.ms}'><span class='bar' style='width:{160 * timing.ms / most:.1f}px'></span></td>"
        rows.append(f"<tr data-k='{k}'>{tds}{bar}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def roofline_svg(profile: Profile) -> str:
    """GFLOP/s over operations a byte, both logarithmic; the roofs are the arithmetic peak and the two bandwidths."""
    roof = profile.roof
    counted = [(k, t) for k, t in enumerate(profile.timings) if t.flops and t.near + t.far and t.gflops]
    points = [(t.flops / (t.near + t.far), t.gflops, k, t) for k, t in counted]
    left = math.floor(math.log10(min([x for x, *_ in points], default=1.0)))
    right = max(math.ceil(math.log10(max([x for x, *_ in points], default=100.0))), left + 1)
    low = math.floor(math.log10(min([y for _, y, *_ in points], default=1.0)))
    high = math.ceil(math.log10(max(roof.gflops, *(y for _, y, *_ in points)) if points else roof.gflops))

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - left) / (right - left)
        up = (math.log10(y) - low) / max(high - low, 1)
        return MARGIN + across * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN)

    parts = [f"<rect x='{MARGIN}' y='{MARGIN}' width='{WIDTH - 2 * MARGIN}' height='{HEIGHT - 2 * MARGIN}' fill='none' stroke='#999'/>"]
    for power in range(left, right + 1):
        x, _ = at(10.0 ** power, 10.0 ** low)
        parts.append(f"<text x='{x:.0f}' y='{HEIGHT - MARGIN + 16}' text-anchor='middle'>{10.0 ** power:g}</text>")
    for power in range(low, high + 1):
        _, y = at(10.0 ** left, 10.0 ** power)
        parts.append(f"<text x='{MARGIN - 6}' y='{y + 4:.0f}' text-anchor='end'>{10.0 ** power:g}</text>")
    for name, rate in (("L2", roof.near_gbs), ("memory", roof.far_gbs)):
        ends = [10.0 ** left, min(roof.gflops / rate, 10.0 ** right)]
        (x1, y1), (x2, y2) = (at(x, max(x * rate, 10.0 ** low)) for x in (max(ends[0], 10.0 ** low / rate), ends[1]))
        parts.append(f"<line x1='{x1:.0f}' y1='{y1:.0f}' x2='{x2:.0f}' y2='{y2:.0f}' stroke='#c60'/>"
                     f"<text x='{x1 + 6:.0f}' y='{y1 - 6:.0f}' fill='#c60'>{name} {rate:.0f} GB/s</text>")
    (x1, y), (x2, _) = at(10.0 ** left, roof.gflops), at(10.0 ** right, roof.gflops)
    parts.append(f"<line x1='{x1:.0f}' y1='{y:.0f}' x2='{x2:.0f}' y2='{y:.0f}' stroke='#060'/>"
                 f"<text x='{x2 - 6:.0f}' y='{y - 6:.0f}' text-anchor='end' fill='#060'>{roof.gflops:.0f} GFLOP/s</text>")
    whole = sum(t.ms for t in profile.timings) or 1.0
    for x, y, k, t in points:
        cx, cy = at(x, y)
        parts.append(f"<circle data-k='{k}' cx='{cx:.1f}' cy='{cy:.1f}' r='{3 + 12 * math.sqrt(t.ms / whole):.1f}' fill='#36c' "
                     f"fill-opacity='0.5'><title>{escape(f'{t.name}: {t.ms:.4f} ms, {t.gflops:.1f} GFLOP/s')}</title></circle>")
    parts.append(f"<text x='{WIDTH / 2}' y='{HEIGHT - 14}' text-anchor='middle'>operations a byte</text>"
                 f"<text x='14' y='{MARGIN - 14}'>GFLOP/s</text>")
    return _svg(WIDTH, HEIGHT, parts)


def graph_svg(profile: Profile) -> str:
    """Steps as boxes in rows by their distance from the inputs, redder the longer they take."""
    timings = profile.timings
    depth: list[int] = []
    for t in timings:
        depth.append(1 + max((depth[j] for j in t.reads if j < len(depth)), default=-1))
    columns, places = dict[int, int](), list[tuple[float, float]]()
    for d in depth:
        places.append((10 + columns.get(d, 0) * (BOX + 16), 10 + d * (30 + GAP)))
        columns[d] = columns.get(d, 0) + 1
    most = max((t.ms for t in timings), default=1.0) or 1.0
    ends = [(places[j], places[k]) for k, t in enumerate(timings) for j in t.reads]
    parts = [f"<line x1='{x1 + BOX / 2}' y1='{y1 + 30}' x2='{x2 + BOX / 2}' y2='{y2}' stroke='#aaa'/>" for (x1, y1), (x2, y2) in ends]
    for k, (t, (x, y)) in enumerate(zip(timings, places)):
        parts.append(_box(k, t, x, y, most))
    return _svg(20 + max(columns.values(), default=1) * (BOX + 16), 20 + (max(depth, default=0) + 1) * (30 + GAP), parts)


def _box(k: int, t: Timing, x: float, y: float, most: float) -> str:
    shade = 245 - int(150 * t.ms / most)
    label = t.op_type if len(t.op_type) < 26 else t.op_type[:24] + "…"
    return (f"<g data-k='{k}'><rect x='{x}' y='{y}' width='{BOX}' height='30' rx='4' fill='rgb(250,{shade},{shade})' stroke='#888'/>"
            f"<text x='{x + 6}' y='{y + 13}' font-size='11'>{escape(label)}</text><text x='{x + 6}' y='{y + 26}' font-size='10' "
            f"fill='#555'>{t.ms:.4f} ms {escape(t.algorithm[:22])}</text><title>{escape(t.name)}</title></g>")


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{height:.0f}' font-family='system-ui,sans-serif' "
            f"font-size='11'>{''.join(parts)}</svg>")
