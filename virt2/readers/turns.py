"""Whose turn it is where a read has no time for all: who waited longest goes first, and who is left out is said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from virt2.workers.job import Job

log = logging.getLogger(__name__)

LASTING = 1.0
"""Seconds for which domains have to be left out before it is said, however many reads that is, because a host on which
guests start and end is short of time for a moment."""
IN_A_ROW = 2
"""Reads in a row that have to leave domains out before it is said, because a single one may be a hiccup of the host."""
QUIET = 60.0
"""Seconds without a domain left out after which a shortage is over, so that begin and end are not said in turn."""
NAMED = 5
"""The most domains that are named."""


class Turns:
    """Orders the jobs of each read.

    A job counts as served when a worker took it, however that ended. So one that never answers goes behind those that
    are still waiting, as every job does that had its turn. Where each read has time for k of n jobs, all are served
    within n/k reads, rounded up.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}
        """By domain and kind of job: when the first read began, of those in a row that left the job out."""

    def order(self, jobs: Iterable[Job], now: float, handicap: Callable[[Job], float] | None = None) -> list[Job]:
        """Put those first that waited longest; those that did not wait keep their order.

        Arguments:
            now: when the read began.
            handicap: seconds by which a job counts as having waited less, where it may cost others their time. Such a
                job goes first in the end as well.
        """
        jobs = list(jobs)
        since = self._since
        if handicap is not None:
            return sorted(jobs, key=lambda job: since.get((job.uuid, job.kind), now) + handicap(job))
        if since:
            jobs.sort(key=lambda job: since.get((job.uuid, job.kind), now))
        return jobs

    def note(self, jobs: Iterable[Job], began: float) -> None:
        """Note after a read which of its jobs were served."""
        since = self._since
        self._since = {(job.uuid, job.kind): since.get((job.uuid, job.kind), began) for job in jobs if not job.begun}

    @property
    def waiting(self) -> int:
        """Jobs that the last read left out."""
        return len(self._since)


class Shortage:
    """Says once that a reader has no time for all of its domains, and once that it has again.

    Arguments:
        reader: its name.
    """

    def __init__(self, reader: str) -> None:
        self._reader = reader
        self._since: float | None = None
        self._last = 0.0
        self._reads = 0
        self._said = False

    def __repr__(self) -> str:
        return f"<Shortage reader={self._reader} since={self._since}>"

    def review(self, skipped: Sequence[str], domains: int, stuck: int, now: float) -> None:
        """Take what a read left out.

        Arguments:
            skipped: the names of the domains that were not asked, or not for all.
            domains: how many the reader has.
            stuck: workers whose call was out before that read.
            now: monotonic seconds.
        """
        if not skipped:
            self._reads = 0
            if self._since is not None and (not self._said or now - self._last >= QUIET):
                if self._said:
                    log.info("reader %s has time for all of its domains again", self._reader)
                self._since, self._said = None, False
            return
        if self._since is None:
            self._since = now
        self._last = now
        self._reads += 1
        if self._said or self._reads < IN_A_ROW or now - self._since < LASTING:
            return
        self._said = True
        names = ", ".join(sorted(skipped)[:NAMED])
        more = f" and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
        if stuck:
            cause = f"is short of workers, because {stuck} of them {'is' if stuck == 1 else 'are'} stuck"
        else:
            cause = "is short of time"
        log.warning(
            "reader %s %s: for %.0f s each read has left domains out, the last read %d of %d (%s%s);"
            " those that waited longest go first in the next read",
            self._reader,
            cause,
            now - self._since,
            len(skipped),
            domains,
            names,
            more,
        )
