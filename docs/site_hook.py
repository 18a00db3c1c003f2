"""What the site takes from outside docs/: other pages, pictures, recorded tables and executed notebooks.

Links of a page are those of its file in the repository; here they become links of the site. A link to a file that is
not on the site is told by name, and `make docs` ends there.
"""

import hashlib
import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {  # page of the site -> file of the repository
    "benchmarks.md": "benchmarks/README.md",
    "launch.md": "launch/README.md",
    "library.md": "memgen_jax/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
ELSEWHERE = {  # file of the repository that is no page of its own -> the page that stands for it
    "README.md": "index.md",
    "experiments/README.md": "results.md",
    "launch": "launch.md",
    "LICENSE": "index.md",
    "CITATION.cff": "faq.md",
    "configs/paper.py": "reference/config.md",
}
RECORDED = "experiments/results"
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
NOTEBOOKS = ("circle", "arrays", "run")
SHIM = "iframe_worker_shim.js"  # search in a page that is opened from disk
KEPT = ROOT / "build" / "notebooks"  # executed ones, by what they say


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages, pictures, tables and notebooks."""
    for name, source in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    for file in sorted((ROOT / RECORDED).rglob("*")):
        if file.suffix in (".csv", ".json", ".png"):
            name = f"recorded/{file.relative_to(ROOT / RECORDED).as_posix()}"
            files.append(File.generated(config, name, abs_src_path=str(file)))
    files.append(File.generated(config, "recorded.md", content=recorded_page()))
    for name in NOTEBOOKS:
        text, pictures = executed(ROOT / f"docs/notebooks/{name}.ipynb")
        files.append(File.generated(config, f"notebooks/{name}.md", content=text))
        for picture, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{picture}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links of the repository into links of the site, outside of code."""
    here = page.file.src_uri
    source = PAGES.get(here, f"docs/{here}")
    parts = re.split(r"(^```.*?^```|`[^`\n]*`)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        part if part.startswith("`") else LINK.sub(lambda found: link(found[1], here, source), part)
        for part in parts
    )


def on_post_build(config: MkDocsConfig) -> None:
    """Takes the one script that would come from elsewhere from here, and lets no other through.

    The page for wrong addresses goes: its links hold only at the root of a server, and from disk it is never met.
    """
    site = pathlib.Path(config.site_dir)
    (site / "404.html").unlink(missing_ok=True)
    for file in site.rglob("*.html"):
        text = file.read_text()
        here = posixpath.relpath(SHIM, file.parent.relative_to(site).as_posix())
        text = text.replace("https://unpkg.com/iframe-worker/shim", here)
        file.write_text(text)
        if found := re.search(
            r'<(?:script|img|iframe|link(?! rel="canonical"))[^>]*(?:src|href)="?(https?:[^" >]*)', text
        ):
            raise PluginError(f"{file.relative_to(site)} loads {found[1]}: the site must work offline")


def link(target: str, here: str, source: str) -> str:
    """One link: `here` is the page's place on the site, `source` its file's in the repository."""
    if re.match(r"[a-z]+:|#", target):
        return target
    path, _, anchor = target.partition("#")
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    place = site_place(wanted)
    if place is None:
        raise PluginError(f"{source} links to {target}, which is not on the site: see docs/site_hook.py")
    place, _, own = place.partition("#")
    anchor = anchor or own
    return posixpath.relpath(place, posixpath.dirname(here) or ".") + (f"#{anchor}" if anchor else "")


def site_place(wanted: str) -> str | None:
    """Where a file of the repository is on the site."""
    for page, file in PAGES.items():
        if wanted == file:
            return page
    if wanted in ELSEWHERE:
        return ELSEWHERE[wanted]
    if wanted.startswith(f"{RECORDED}/"):
        inside = wanted.removeprefix(f"{RECORDED}/")
        return f"recorded/{inside}" if "." in inside else f"recorded.md#{inside}"
    return wanted.removeprefix("docs/") if wanted.startswith("docs/") else None


def recorded_page() -> str:
    """A list of the recorded tables."""
    lines = [
        "# Recorded tables",
        "",
        "What the runs of these pages left, to compute with. [Columns](columns.md).",
        "",
    ]
    for folder in sorted(path for path in (ROOT / RECORDED).iterdir() if path.is_dir()):
        found = sorted(file for file in folder.iterdir() if file.suffix in (".csv", ".json"))
        if found:
            lines += [f"## {folder.name}", ""]
            lines += [f"- [{file.name}](../{RECORDED}/{folder.name}/{file.name})" for file in found]
            lines.append("")
    return "\n".join(lines)


def described(text: str) -> str:
    """Pictures of a notebook get the heading above them as their alternative text."""
    heading, lines = "", []
    for line in text.splitlines():
        heading = line.lstrip("# ") if re.match("#+ ", line) else heading
        lines.append(line.replace("![png]", f"![Figure: {heading}]"))
    return "\n".join(lines) + "\n"


def executed(notebook: pathlib.Path) -> tuple[str, dict[str, bytes]]:
    """A notebook run from its first cell, as Markdown, and its pictures; one that fails ends the build.

    An unchanged notebook beside an unchanged package is taken from the last build.
    """
    from nbclient import NotebookClient
    from nbconvert import MarkdownExporter
    from nbformat import read
    from traitlets.config import Config

    digest = hashlib.sha256(notebook.read_bytes())
    for file in sorted((ROOT / "memgen_jax").rglob("*.py")):
        digest.update(file.read_bytes())
    kept = KEPT / notebook.stem / digest.hexdigest()[:16]
    if not kept.exists():
        cells = read(notebook, as_version=4)
        quiet = Config(
            {"KernelManager": {"transport": "ipc"}}
        )  # TCP would warn of readers on the same machine
        place = {"metadata": {"path": str(ROOT)}}
        NotebookClient(cells, kernel_name="python3", timeout=600, resources=place, config=quiet).execute()
        text, resources = MarkdownExporter().from_notebook_node(cells, {"unique_key": notebook.stem})
        kept.mkdir(parents=True)
        for name, content in resources["outputs"].items():
            (kept / name).write_bytes(content)
        (kept / "page.md").write_text(described(text))
    pictures = {file.name: file.read_bytes() for file in sorted(kept.iterdir()) if file.suffix != ".md"}
    return (kept / "page.md").read_text(), pictures
