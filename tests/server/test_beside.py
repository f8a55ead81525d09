"""Work that answers leave behind: in order, bounded, and nobody's fault but its own."""

import asyncio

from interlock.server.beside import Beside
from tests.server.harness import until


class Jobs:
    """Jobs that say when they begin, and end when they are told to."""

    def __init__(self):
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.go = asyncio.Event()
        self.faults: list[Exception] = []
        self.beside = Beside(2, 100, lambda _, error: self.faults.append(error))

    def offer(self, name, size=1, at_once=1, error=None):
        async def job():
            self.begun.append(name)
            try:
                await self.go.wait()
                if error is not None:
                    raise error
            finally:
                self.ended.append(name)

        return self.beside.offer(job, size, at_once)


async def test_so_many_run_at_once_so_many_wait_and_the_rest_is_refused():
    jobs = Jobs()
    assert [jobs.offer(name, at_once=2) for name in range(6)] == [True] * 4 + [False] * 2
    await asyncio.sleep(0)
    assert jobs.begun == [0, 1]
    jobs.go.set()
    await until(lambda: jobs.beside.idle)
    assert (jobs.begun, sorted(jobs.ended)) == ([0, 1, 2, 3], [0, 1, 2, 3])


async def test_bytes_are_bounded_and_given_back():
    jobs = Jobs()
    assert jobs.offer(0, size=60)
    assert not jobs.offer(1, size=60)
    jobs.go.set()
    await until(lambda: jobs.beside.idle)
    assert jobs.offer(1, size=100)


async def test_a_job_that_raises_is_reported_and_the_next_one_runs():
    jobs, error = Jobs(), ValueError("x")
    jobs.go.set()
    assert jobs.offer(0, error=error)
    assert jobs.offer(1)
    await until(lambda: jobs.beside.idle)
    assert (jobs.faults, jobs.ended) == ([error], [0, 1])


async def test_closing_ends_what_runs_and_gives_up_what_waits():
    jobs = Jobs()
    jobs.offer(0)
    jobs.offer(1)
    await asyncio.sleep(0)
    await jobs.beside.close()
    assert (jobs.begun, jobs.ended, jobs.beside.idle) == ([0], [0], True)
    assert not jobs.offer(2)
