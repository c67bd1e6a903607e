"""Every package that the app installs, with its licence: `python -m deploy.dependencies`.

Starts at requirements.txt and follows what each package requires on this machine. Exit status 1
where a licence is unknown or not allowed. For known vulnerabilities, on a machine with a network:

    pip install pip-audit && pip-audit -r requirements.txt
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SKIPPED = {"aesm2"}  # ourselves


class Verdict(StrEnum):
    """What a licence means for whoever passes the app on."""

    FREE = ""
    WEAK = "weak copyleft: changes of that package itself stay open"
    VENDOR = "the vendor's licence: read it before you pass it on"
    STRONG = "NOT ALLOWED: copyleft of the whole"
    UNKNOWN = "UNKNOWN"

    @property
    def allowed(self) -> bool:
        """Whether the check passes."""
        return self not in (Verdict.STRONG, Verdict.UNKNOWN)


WORDS = (  # first match decides; the text is lower case. Of "A or B" one may be chosen.
    (r"\b(mit|bsd|apache|isc|psf|python software foundation|0bsd|zlib|unlicense)\b", Verdict.FREE),
    (r"\b(hpnd|cnri|mit-0|bsl-1\.0|boost)\b", Verdict.FREE),
    (r"public domain|cc0", Verdict.FREE),
    (r"lgpl|lesser general public|mpl|mozilla public", Verdict.WEAK),
    (r"agpl|gpl|general public", Verdict.STRONG),
    (r"nvidia|proprietary", Verdict.VENDOR),
)  # fmt: skip


@dataclass(frozen=True)
class Package:
    """An installed package."""

    name: str
    version: str
    licence: str
    verdict: Verdict


def reachable(names: Iterable[str]) -> Iterator[Distribution | str]:
    """Every installed package that these need, and the name of each that is not installed."""
    waiting, seen = [Requirement(name) for name in names], set[tuple[str, str]]()
    told = set[str]()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        extras = wanted.extras or {""}
        fresh = [extra for extra in extras if (name, extra) not in seen]
        seen |= {(name, extra) for extra in fresh}
        if not fresh or name in SKIPPED:
            continue
        try:
            own = distribution(name)
        except PackageNotFoundError:
            yield name
            continue
        if name not in told:
            told.add(name)
            yield own
        needs = [Requirement(text) for text in own.requires or ()]
        waiting += [need for need in needs if _holds(need, ("", *fresh))]


def _holds(need: Requirement, extras: Iterable[str]) -> bool:
    """Whether a package is needed here, with some of these extras."""
    return need.marker is None or any(need.marker.evaluate({"extra": own}) for own in extras)


def named(file: Path) -> list[str]:
    """Return the requirements that a file names."""
    lines = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def licence(own: Distribution) -> str:
    """Return what a package says its licence is, "" where it does not say."""
    about = own.metadata
    expression, *_ = about.get_all("License-Expression") or [""]
    if expression:
        return str(expression)
    classified = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or ()
                  if c.startswith("License :: ") and not c.endswith("OSI Approved")]  # fmt: skip
    if classified:
        return " and ".join(classified)
    text, *_ = about.get_all("License") or [""]
    return str(text).strip().partition("\n")[0][:60]


def judged(text: str) -> Verdict:
    """Tell what a licence means."""
    parts = [part for part in re.split(r"\bor\b", text.lower()) if part.strip()]
    found = [_of_all(part) for part in parts] or [Verdict.UNKNOWN]
    return min(found, key=list(Verdict).index)


def _of_all(text: str) -> Verdict:
    """Return the strictest of licences that all hold."""
    parts = [
        part for part in re.split(r"\band\b|\bwith\b.*?(?=\band\b|$)", text) if part.strip(" ()")
    ]
    return max((_of_one(part) for part in parts), key=list(Verdict).index, default=Verdict.UNKNOWN)


def _of_one(text: str) -> Verdict:
    return next((verdict for word, verdict in WORDS if re.search(word, text)), Verdict.UNKNOWN)


def packages(file: Path) -> list[Package]:
    """Return all packages below a file of requirements, by name."""
    found = []
    for own in reachable(named(file)):
        if isinstance(own, str):
            found.append(Package(own, "not installed", "", Verdict.UNKNOWN))
        else:
            text = licence(own)
            found.append(Package(str(own.metadata["Name"]), own.version, text, judged(text)))
    return sorted(found, key=lambda package: package.name.lower())


def main() -> int:
    """Print the table and the counts; return the exit status."""
    found = packages(ROOT / "requirements.txt")
    for own in found:
        print(f"{own.name:32} {own.version:16} {own.licence or '–':44} {own.verdict}".rstrip())
    bad = [own for own in found if not own.verdict.allowed]
    weak = sum(own.verdict is Verdict.WEAK for own in found)
    vendor = sum(own.verdict is Verdict.VENDOR for own in found)
    print(f"\n{len(found)} packages: {weak} weak copyleft, {vendor} under a vendor's licence,"
          f" {len(bad)} not allowed or unknown")  # fmt: skip
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
