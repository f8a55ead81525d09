"""Large work runs in another thread and in short turns; afterwards turns are as they were."""

import asyncio
import sys
import threading

import pytest

from interlock.execute.apart import TURN_S, apart


async def test_c15_work_apart_is_in_another_thread_and_gives_way_often_while_any_of_it_is_under_way():
    usual = sys.getswitchinterval()
    gate = threading.Event()

    def work(wait):
        if wait:
            gate.wait(10)
        return threading.current_thread() is threading.main_thread(), sys.getswitchinterval()

    first = asyncio.create_task(apart(work, wait=True))
    second = await apart(work, wait=False)
    assert second == (False, pytest.approx(TURN_S))
    assert sys.getswitchinterval() == pytest.approx(TURN_S), "the first is still under way"
    gate.set()
    assert await first == (False, pytest.approx(TURN_S))
    assert sys.getswitchinterval() == pytest.approx(usual)


async def test_turns_are_as_they_were_after_work_that_fails_or_is_given_up():
    usual = sys.getswitchinterval()
    gate = threading.Event()
    with pytest.raises(ZeroDivisionError):
        await apart(lambda: 1 // 0)
    task = asyncio.create_task(apart(gate.wait, 10))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gate.set()
    assert sys.getswitchinterval() == pytest.approx(usual)
