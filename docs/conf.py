"""Sphinx: `make docs` builds this folder into docs/_build, without anything remote."""

import sys
from pathlib import Path

from limo_ablate import __version__

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

from reference_pages import PAGES  # noqa: E402

project = "limo-ablate"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = "limo-ablate"
html_show_copyright = False
exclude_patterns = ["_build"]
nitpicky = False
default_role = "code"  # docstrings have single backticks
myst_heading_anchors = 4
myst_enable_extensions = ["deflist", "fieldlist"]
suppress_warnings = [
    "myst.header",
    "toc.no_title",
]  # pages of measurements begin with any level, or with a table
pygments_style = "sphinx"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

RESULTS = "results"
OUTSIDE = {
    "../benchmarks/results/": f"{RESULTS}/",
    "../SECURITY.md": "project/security_policy.md",
    "../limo_ablate/library.py": "reference/api.md",
}
"""Links that leave this folder -> what stands for them on the site."""


PROJECT = {"changes": "CHANGELOG.md", "contributing": "CONTRIBUTING.md", "security_policy": "SECURITY.md"}
"""Pages of the site -> files at the root."""


def _inside(app, docname, source):
    for outside, page in OUTSIDE.items():
        source[0] = source[0].replace(f"]({outside}", f"]({page}")


def _generate(app):
    """Writes the generated pages, which git ignores: the reference, and copies of what stands elsewhere."""
    for name, write in PAGES.items():
        _write(HERE / "reference" / name, write())
    results = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
    for file in results:
        _write(HERE / RESULTS / file.name, file.read_text(encoding="utf-8"))
    listed = "\n".join(f"{file.stem.replace('_', ' ').capitalize()} <{file.stem}>" for file in results)
    _write(HERE / RESULTS / "index.md", f"# Measurements\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n")
    for name, file in PROJECT.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        for other, target in PROJECT.items():
            text = text.replace(f"]({target})", f"]({other}.md)")
        _write(HERE / "project" / f"{name}.md", text.replace("](docs/", "](../"))


def _write(path, text):
    path.parent.mkdir(exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app):
    app.connect("builder-inited", _generate)
    app.connect("source-read", _inside)
