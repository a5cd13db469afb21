"""Schedules: tasks that come back by the calendar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hivekeep import _hivekeep
from hivekeep.errors import Invalid
from hivekeep.mappings import JSON
from hivekeep.pages import PAGE, items
from hivekeep.queues import NewTask
from hivekeep.records import Missed, Overlap, Priority, Schedule, Task
from hivekeep.times import Duration, to_ms

__all__ = ["Schedules", "SchedulesView"]


class SchedulesView:
    """The schedules, to read."""

    def __init__(self, owner: object, raw: _hivekeep.Schedules) -> None:
        self._owner, self._raw = owner, raw

    def get(self, name: str) -> Schedule | None:
        """A schedule; none if there is no such schedule."""
        fields = self._raw.get(name)
        return None if fields is None else Schedule._from_json(fields)

    def __getitem__(self, name: str) -> Schedule:
        schedule = self.get(name)
        if schedule is None:
            raise KeyError(name)
        return schedule

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._raw.get(name) is not None

    def __len__(self) -> int:
        return self._raw.count()

    def __iter__(self) -> Iterator[Schedule]:
        """Every schedule, by name, read page by page."""
        raw = self._raw.at_once()
        yield from map(Schedule._from_json, items(lambda cursor: raw.page(cursor, PAGE)))

    def list(self) -> list[Schedule]:
        """Every schedule, by name."""
        return list(iter(self))


class Schedules(SchedulesView):
    """The schedules. A scheduler fires them: that of :meth:`hivekeep.Store.scheduler`, or a service. However many
    processes have one, each due time becomes one task.
    """

    def add(
        self,
        name: str,
        payload: JSON,
        *,
        every: Duration | None = None,
        cron: str | None = None,
        time_zone: str | None = None,
        missed: Missed = "last",
        overlap: Overlap = "allow",
        replace: bool = False,
        priority: Priority | None = None,
        delay: Duration | None = None,
        capabilities: Iterable[str] = (),
        assigned_to: str | None = None,
        max_attempts: int | None = None,
        attributes: Mapping[str, JSON] | None = None,
    ) -> Schedule:
        """Adds a schedule, which enqueues a task with that payload each time it is due.

        :param name: 1 to 64 letters, digits, hyphens, dots and underscores.
        :param every: the interval, at least a second; the first task comes one interval from now.
        :param cron: the times instead: minute, hour, day of the month, month and day of the week, such as ``"0 3 * * *"``.
        :param time_zone: of the cron expression, such as ``"Europe/Vienna"``; UTC unless set.
        :param missed: the due times that fire later, if no process has fired them in time.
        :param overlap: whether due times fire while the last task is not finished.
        :param replace: whether to replace a schedule of that name. One that stays the same goes on.
        :param priority: as of :meth:`Queue.enqueue`, as are the others.
        :param delay: how long after the due time a bot may claim the task.
        :raises Conflict: when there is a schedule of that name, unless ``replace`` is set.
        """
        task = NewTask(
            payload,
            priority=priority,
            delay=delay,
            capabilities=capabilities,
            assigned_to=assigned_to,
            max_attempts=max_attempts,
            attributes=attributes,
        )
        if (every is None) == (cron is None):
            raise Invalid("a schedule has either an interval or a cron expression: every, cron")
        fields: dict[str, Any] = {
            "name": name,
            "every_ms": None if every is None else to_ms(every),
            "cron": cron,
            "time_zone": time_zone,
            "missed": missed,
            "overlap": overlap,
            "replace": replace,
        }
        known = {field: value for field, value in fields.items() if value is not None}
        known["task"] = {field: value for field, value in task._fields.items() if _is_set(field, value)}
        return Schedule._from_json(self._raw.add(known))

    def pause(self, name: str) -> Schedule:
        """Pauses a schedule: its due times do not fire, and do not fire later either.

        :raises NotFound: when there is no such schedule.
        """
        return Schedule._from_json(self._raw.pause(name))

    def resume(self, name: str) -> Schedule:
        """Resumes a paused schedule with the first due time after now.

        :raises NotFound: when there is no such schedule.
        """
        return Schedule._from_json(self._raw.resume(name))

    def remove(self, name: str) -> None:
        """Removes a schedule. Its tasks stay.

        :raises NotFound: when there is no such schedule.
        """
        self._raw.remove(name)

    def run(self, name: str) -> Task:
        """Enqueues the task of a schedule now, also while it is paused. Its due times stay as they are.

        :raises NotFound: when there is no such schedule.
        """
        return Task._from_json(self._raw.run(name))


def _is_set(field: str, value: object) -> bool:
    """Whether a field of a task says more than its absence."""
    return field == "payload" or not (value is None or value is False or value == [])
