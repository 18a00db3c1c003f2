"""Checks pages with axe-core, whole and unfolded, light and dark, on a desktop and on a phone.

    make test-pages     # fetches axe-core; its own pages and the site
    python -m tests.report.axe_pages build/node_modules/axe-core/axe.min.js PAGE.html [PAGE.html …]

Ends with 1 where a rule is broken. With --crossed as the first argument each page is seen twice only, light on a
desktop and dark on a phone, for the many pages of the site. Needs a Chromium.
"""

import pathlib
import sys

from tests.report.browser import Browser

VIEWS = tuple((width, dark) for width in (1280, 390) for dark in (False, True))
CROSSED = ((1280, False), (390, True))
RUN = """(async () => {
  document.querySelectorAll('details').forEach((fold) => { fold.open = true; });
  const still = {textContent: '* { transition: none !important }'};
  document.head.append(Object.assign(document.createElement('style'), still));
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const site = document.body.dataset;  // the site keeps the scheme that it was last seen in
  if (site.mdColorScheme) site.mdColorScheme = dark ? 'slate' : 'default';
  await new Promise((done) => setTimeout(done, 150));
  const found = await axe.run(document, {resultTypes: ['violations']});
  return found.violations.map((one) => ({
    id: one.id, help: one.help, impact: one.impact, nodes: one.nodes.map((node) => node.html.slice(0, 160)) }));
})()"""


def violations(browser: Browser, axe: str, page: pathlib.Path, views=VIEWS) -> list[dict]:
    """The broken rules of a page, each once, with the `views` that show it.

    Args:
      axe: the text of axe.min.js.
      views: width and whether dark, of each.
    """
    found: dict[str, dict] = {}
    for width, dark in views:
        browser.size(width)
        browser.dark(dark)
        browser.open(page)
        browser.evaluate(axe)
        for broken in browser.evaluate(RUN):
            first = found.setdefault(broken["id"], broken | {"views": []})
            first["views"].append(f"{width} px, {'dark' if dark else 'light'}")
    return list(found.values())


def main() -> int:
    views = CROSSED if sys.argv[1:2] == ["--crossed"] else VIEWS
    axe, *pages = sys.argv[2:] if views is CROSSED else sys.argv[1:]
    text = pathlib.Path(axe).read_text()
    browser = Browser()
    broken = 0
    try:
        for page in map(pathlib.Path, pages):
            found = violations(browser, text, page, views)
            broken += len(found)
            print(f"{page}: {len(found)} rules broken in {len(views)} views")
            for one in found:
                print(f"  {one['id']} ({one['impact']}): {one['help']}; {'; '.join(one['views'])}")
                print("".join(f"    {node}\n" for node in one["nodes"][:5]), end="")
    finally:
        browser.close()
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
