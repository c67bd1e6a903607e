"""Whose a folder is: a dataset, a run or a checkpoint that is not for everybody says so itself."""

from pathlib import Path

from aesm2.files import write_atomically

OWNER = ".owner"  # the file in the folder; its text is the owner's id
NOBODY = "?"  # the owner of a folder whose file cannot be read: it is shown to nobody


def owner_of(folder: Path) -> str:
    """Return the id of a folder's owner; "" where it is everybody's."""
    try:
        return (folder / OWNER).read_text(encoding="utf-8").strip() or NOBODY
    except FileNotFoundError:  # a link to nowhere is a file that cannot be read
        return NOBODY if (folder / OWNER).is_symlink() else ""
    except (OSError, UnicodeDecodeError):
        return NOBODY


def give(folder: Path, owner: str) -> None:
    """Make a folder somebody's; owner "" makes it everybody's."""
    if owner:
        write_atomically(folder / OWNER, f"{owner}\n")
    else:
        (folder / OWNER).unlink(missing_ok=True)
