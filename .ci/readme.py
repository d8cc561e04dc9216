"""Write README.md from nbs/index.ipynb with nbconvert, or check that the two agree.

    python .ci/readme.py            # write README.md and the pictures it shows
    python .ci/readme.py --check    # exit 1, and say why, when they differ from the notebook

nbdev_readme needs Quarto; nbconvert comes with JupyterLab, so the README can be made on any machine.
Cells marked `#| hide` are left out, as nbdev does, and directive lines are dropped.
"""
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK, README, IMAGES = ROOT / "nbs/index.ipynb", ROOT / "README.md", Path(".github/readme")
NOTE = "<!-- Made from nbs/index.ipynb by .ci/readme.py. Edit the notebook, not this file. -->\n\n"


def build():
    """README text and its pictures as {relative path: bytes}."""
    nb = nbformat.read(NOTEBOOK, as_version=4)
    cells = []
    for cell in nb.cells:
        head = re.findall(r"^#\s*\|\s*(.+)$", cell.source, re.M) if cell.cell_type == "code" else []
        if any(h.strip() == "hide" or h.startswith("default_exp") for h in head):
            continue
        if cell.cell_type == "code":
            cell.source = "\n".join(l for l in cell.source.splitlines() if not re.match(r"#\s*\|", l)).strip()
            if any(h.replace(" ", "") == "echo:false" for h in head):
                cell.metadata["transient"] = {"remove_source": True}
        if cell.cell_type == "markdown":  # links are relative to nbs/ in the notebook, to the root in the README
            cell.source = re.sub(r"\]\((?!https?:|#|\.\./)([^)]+)\)", r"](nbs/\1)", cell.source)
            cell.source = cell.source.replace("](../", "](")
        cells.append(cell)
    nb.cells = cells
    nb.metadata["language_info"] = {"name": "python"}  # names the language of code blocks
    text, resources = MarkdownExporter().from_notebook_node(nb, {"output_files_dir": IMAGES.as_posix(), "unique_key": "index"})
    # outputs are indented blocks in plain nbconvert; HTML tables keep their markup but lose pandas' style block
    text = re.sub(r"<div>\n<style scoped>.*?</style>\n(.*?)\n</div>", r"\1", text, flags=re.S)
    text = re.sub(r"\n{3,}", "\n\n", text)
    files = {Path(k).as_posix(): v for k, v in resources.get("outputs", {}).items()}
    return NOTE + text.strip() + "\n", files


def main():
    text, files = build()
    if "--check" in sys.argv:
        stale = [] if README.exists() and README.read_text(encoding="utf-8") == text else ["README.md"]
        stale += [k for k, v in files.items() if not (ROOT / k).exists() or (ROOT / k).read_bytes() != v]
        stale += [p.relative_to(ROOT).as_posix() for p in (ROOT / IMAGES).glob("*") if p.relative_to(ROOT).as_posix() not in files]
        if stale:
            sys.exit("differs from nbs/index.ipynb: " + ", ".join(stale) + "\nrun: python .ci/readme.py")
        print("README.md agrees with nbs/index.ipynb")
        return
    (ROOT / IMAGES).mkdir(parents=True, exist_ok=True)
    for p in (ROOT / IMAGES).glob("*"):
        if p.relative_to(ROOT).as_posix() not in files:
            p.unlink()
    for k, v in files.items():
        (ROOT / k).write_bytes(v)
    README.write_text(text, encoding="utf-8")
    print(f"README.md written with {len(files)} pictures")


if __name__ == "__main__":
    main()
