"""What the registry's archive of the pack holds: `python3 tools/archive.py` lists it; with a folder behind it, copies it there.

The registry's own command (`comfy node pack`) takes what git tracks, less what `.comfyignore` names.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IGNORED = ROOT / ".comfyignore"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="a new folder for the files, such as custom_nodes/fabula of a ComfyUI")
    options = parser.parse_args()
    files = shipped()
    if options.folder:
        if options.folder.exists():
            raise SystemExit(f"{options.folder} is there already. Choose another folder, or delete it first.")
        copy(files, options.folder)
        print(f"{len(files)} files are in {options.folder}")
    else:
        print("\n".join(files))
        print(f"{len(files)} files, {packed_size(files) / 1e6:.1f} MB packed", file=sys.stderr)
    return 0


def shipped() -> list[str]:
    """The files by their paths from the root, as git writes them. Raises: SystemExit where this is no git checkout."""
    tracked = _git("ls-files", "-z", "--cached")
    ignored = _git("ls-files", "-z", "--cached", "--ignored", f"--exclude-from={IGNORED}")
    return sorted(path for path in set(tracked) - set(ignored) if (ROOT / path).exists())


def copy(files: list[str], folder: Path) -> None:
    for name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)


def packed_size(files: list[str]) -> int:
    """Bytes, as a zip file has them."""
    return sum(len(zlib.compress((ROOT / name).read_bytes())) for name in files)


def _git(*arguments: str) -> list[str]:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        raise SystemExit(f"git cannot say which files {ROOT} has ({str(reason).strip()}). The archive is made of a git checkout.") from error
    return [path for path in done.stdout.split("\0") if path]


if __name__ == "__main__":
    sys.exit(main())
