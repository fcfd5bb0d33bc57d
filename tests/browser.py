"""Pages in a real browser without a window."""
from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt install chromium")
HEAD = """<script>
const seen={errors:[]};window.onerror=(message)=>{seen.errors.push(String(message))};
window.addEventListener('load',()=>{
  seen.broken=[...document.images].filter(image=>!image.complete||!image.naturalWidth).length;
  %s
  const out=document.createElement('pre');out.id='seen';out.textContent=JSON.stringify(seen);document.body.appendChild(out)});
</script>"""


def looked_at(page: Path, actions: str = "") -> dict[str, Any]:
    """What the page is like once loaded: "errors" of its scripts, "broken" images, and what `actions` (JavaScript) puts into `seen`.

    The page must not ask for anything but itself.
    """
    text = page.read_text()
    assert not re.search(r"(src|href)=['\"](?!data:|#)|url\(|https?://(?!www\.w3\.org)", text), "it works offline"
    copy = page.with_suffix(".looked_at.html")
    copy.write_text(re.sub(r"(<body[^>]*>)", lambda found: found[1] + HEAD % actions, text, count=1))
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'browser'}",
               "--virtual-time-budget=5000", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))
