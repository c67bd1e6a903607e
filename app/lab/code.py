"""The lines of Python that make the charts of the Training Lab."""

from collections.abc import Sequence

from aesm2.lab.job import Job
from app import recipes


def curves(jobs: Sequence[Job], read: str, by: list[str], figure: str) -> str:
    """Return the script that reads a frame of every run and draws them.

    read: the frame of `job`. by: of the series. figure: made of `frames`.
    """
    return _script(
        [
            "from aesm2.lab.records import read_described, read_history",
            "from aesm2.plots import training",
            "from aesm2.training import history",
        ],
        jobs,
        "frames = {\n"
        f"    job.name: history.smoothed({read}, 0.0, {by})\n"
        "    for job in jobs\n}\n"
        f"figure = {figure}",
    )


def experts(job: Job, imports: str, figure: str) -> str:
    """Return the script that draws what experts of a run are for. figure: made of `job`."""
    return _script([imports], [job], f"(job,) = jobs\nfigure = {figure}")


def _script(imports: Sequence[str], jobs: Sequence[Job], lines: str) -> str:
    folders = ", ".join(repr(recipes.place(job.folder)) for job in jobs)
    opening = f"jobs = [Job(Path(name)) for name in ({folders},)]"
    return recipes.of_folder("\n".join(["from aesm2.lab.job import Job", *imports, opening, lines]))
