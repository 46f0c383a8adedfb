"""Pages in a real headless Chromium: what they look like once their scripts have run."""

from __future__ import annotations

import html
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

PROBE = """
<script>
addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement, wide = root.clientWidth;
  root.dataset.overflow = String(root.scrollWidth - wide);
  // Text that a reader at this width would have to guess: cut off by the window, or smaller than 11 px.
  const texts = [...document.querySelectorAll("svg text, p, b, span, td, th, h1, h2, button")]
    .filter((e) => e.textContent.trim());
  root.dataset.small = String(texts.filter((e) => parseFloat(getComputedStyle(e).fontSize) < 11).length);
  const loose = texts.filter((e) => !e.closest(".scroll"));
  root.dataset.outside = String(loose.filter((e) => e.getBoundingClientRect().right > wide + 1).length);
  root.dataset.ground = getComputedStyle(document.body).backgroundColor;
  root.dataset.width = String(wide);
  if (window.parent !== window) {
    const dom = window.parent.document.createElement("pre");
    dom.id = "dom";
    dom.textContent = root.outerHTML;
    window.parent.document.body.append(dom);
  }
}, 100));
</script>
"""


class Page(HTMLParser):
    """A page's elements: (tag, attributes) in order, and the text of each tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.root = dict(self.elements[0][1])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def count(self, tag: str, **attributes: str) -> int:
        """Elements of that tag which have all these attributes."""
        return sum(t == tag and attributes.items() <= a.items() for t, a in self.elements)


def open_page(page: Path, folder: Path, *, width: int = 1200, dark: bool = False, probe: str = PROBE) -> Page:
    """The page after its scripts, in a window of that many pixels: a frame below 500, the least that windows have."""
    text = page.read_text().replace("</body>", probe + "</body>")
    looked_at = folder / "probed.html"
    looked_at.write_text(text)
    if width < 500:
        looked_at.write_text(
            f'<!doctype html><body><iframe width="{width}" height="800" style="border:0"'
            f' srcdoc="{html.escape(text)}"></iframe></body>'
        )
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert chromium, "chromium is not installed: apt-get install chromium"
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={max(width, 500)},800",
        "--virtual-time-budget=4000",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []),
        "--dump-dom",
        looked_at.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    dom = done.stdout
    if width < 500:
        assert '<pre id="dom">' in dom, dom[-500:]
        dom = html.unescape(dom.split('<pre id="dom">', 1)[1].split("</pre>", 1)[0])
    return Page(dom[dom.index("<html") :])
