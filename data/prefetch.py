"""Jobs that threads do ahead of a loop, whose results come in the order of the jobs."""

import contextvars
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from queue import SimpleQueue
from threading import Thread

from tapegrad.data.aliases import Batch

Job = Callable[[], object]


def ahead(
    jobs: Iterator[Job], workers: int, depth: int, timeout: float | None, what: str
) -> Generator[Batch, None, None]:
    """The results of the jobs, of which `depth` are being worked on or done while the loop works on one.

    The threads end with the loop, and never hold up the end of the process. What a job raises is raised here, where its
    result would have come. Each job sees the context of the loop: its backend, its flags, its random streams.
    """
    queue: SimpleQueue[tuple[Future[Batch], Job] | None] = SimpleQueue()
    context = contextvars.copy_context()
    threads = [Thread(target=_work, args=(queue, context.copy()), daemon=True) for _ in range(workers)]
    waiting: deque[Future[Batch]] = deque()
    number = 0
    try:
        for thread in threads:
            thread.start()
        for job in jobs:
            waiting.append(_submitted(queue, job))
            if len(waiting) > depth:
                yield _result(waiting.popleft(), timeout, what, number)
                number += 1
        while waiting:
            yield _result(waiting.popleft(), timeout, what, number)
            number += 1
    finally:
        for future in waiting:
            future.cancel()
        for _ in threads:
            queue.put(None)


def _submitted(queue: SimpleQueue[tuple[Future[Batch], Job] | None], job: Job) -> Future[Batch]:
    future: Future[Batch] = Future()
    queue.put((future, job))
    return future


def _work(queue: SimpleQueue[tuple[Future[Batch], Job] | None], context: contextvars.Context) -> None:
    while (item := queue.get()) is not None:
        future, job = item
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(context.run(job))
        except BaseException as error:
            future.set_exception(error)
        del future, job, item  # the result is the loop's


def _result(future: Future[Batch], timeout: float | None, what: str, number: int) -> Batch:
    try:
        return future.result(timeout)
    except NotInTime as error:
        if future.done():  # a TimeoutError of the job itself
            raise
        raise TimeoutError(
            f"{what}: batch {number} did not come within {timeout:g} s: give a larger timeout, more workers, or "
            "look at what reads the rows"
        ) from error
