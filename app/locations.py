"""Where things lie: checkpoints, datasets, evidence, slices, summaries; and whose they are."""

import os
from pathlib import Path

from aesm2.checkpoint import MANIFEST, Checkpoint
from aesm2.evidence.folder import MANIFEST as EVIDENCE
from aesm2.evidence.regimes import MANIFEST as REGIMES
from aesm2.owner import owner_of
from aesm2.streaming import summary_file
from app.people import who

ROOT = Path(__file__).parents[1]
SHIPPED = ("kuairand", "kuairand-noaux", "alipay-sim")
SUMMARIES = f"*{summary_file.SUFFIX}"


def catalogue() -> dict[str, Path]:
    """Return the checkpoints there are, by id: those shipped, the user's, then those of runs."""
    places = [ROOT / "checkpoints", checkpoint_home()]
    kept: dict[str, Path] = {}
    for folder in (m.parent for p in places for m in sorted(p.glob(f"*/{MANIFEST}"))):
        if not folder.name.startswith(".") and who.sees(folder):
            kept.setdefault(folder.name, folder)  # nobody's takes the place of what ships
    runs = sorted(ROOT.glob(f"runs/*/checkpoint/{MANIFEST}"))
    return kept | {f"runs/{m.parents[1].name}": m.parent for m in runs}


def checkpoint_home() -> Path:
    """The folder that takes promoted and imported checkpoints: $AESM2_CHECKPOINTS, or here."""
    return next(iter(_named_places("AESM2_CHECKPOINTS")), ROOT / "checkpoints")


def removable() -> dict[str, Path]:
    """Return the checkpoints that the user may remove: those of `checkpoint_home`, not shipped."""
    home = checkpoint_home()
    mine = {n: f for n, f in catalogue().items() if f.parent == home and n not in SHIPPED}
    return {n: f for n, f in mine.items() if owner_of(f) == who.person().id}


def data_home() -> Path:
    """The folder that holds the user's datasets: the first of $AESM2_DATA, else data/ here."""
    return next(iter(_named_places()), ROOT / "data")


def data_places() -> list[Path]:
    """Folders that hold datasets: data_samples/, those of $AESM2_DATA, and data/."""
    return [ROOT / "data_samples", *_named_places(), ROOT / "data"]


def slices_home(own: bool = True) -> Path:
    """The folder that holds saved slices, one file a dataset; own: of whoever asks alone."""
    person, shared = who.person().id if own else "", data_home() / ".slices"
    return shared / person if person else shared


def studies() -> dict[str, Path]:
    """Return folders of evidence by name: those of $AESM2_EVIDENCE, then those shipped."""
    return {folder.name: folder for folder in reversed(_evidence(EVIDENCE))}


def regimes() -> Path | None:
    """Return the folder of the first regime map there is."""
    return next(iter(_evidence(REGIMES)), None)


def summaries(checkpoint: Checkpoint) -> dict[str, Path]:
    """Return the routing summaries of a checkpoint by name: those in $AESM2_SUMMARIES, or here."""
    home = next(iter(_named_places("AESM2_SUMMARIES")), ROOT / "summaries")
    found = {file.stem: (file, summary_file.about(file)) for file in sorted(home.glob(SUMMARIES))}
    return {n: f for n, (f, about) in found.items() if about and about.hash == checkpoint.hash}


def _evidence(manifest: str) -> list[Path]:
    """Return folders that hold a manifest: those of $AESM2_EVIDENCE, then those shipped."""
    places = [*_named_places("AESM2_EVIDENCE"), ROOT / "checkpoints" / "evidence"]
    return [file.parent for place in places for file in sorted(place.glob(f"*/{manifest}"))]


def _named_places(variable: str = "AESM2_DATA") -> list[Path]:
    named = os.environ.get(variable, "").split(os.pathsep)
    return [Path(place).absolute() for place in named if place]
