"""The order in which layers run, so that little is live at a time.

    model = ordering(lives, offers)
    order = best_order(model)

The model is that of one layer after another: what is live while each runs, with its ring and its
scratch, and its output over an input that dies as far as its kernels allow. That is exactly what
stages of one layer need at least (`Stage.peak_bytes`). Small graphs are searched exactly: over the
sets of layers that are done, the set that needed least first. Where there are too many such sets, a
beam of them is followed. The graph's own order stays unless another one needs less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from exporter.plan.arena import aligned
from exporter.plan.lives import BEFORE, Lives, Storage, activations

MOST_STEPS = 80_000
"""Layers that are tried in the exact search, at most: each after a set of others."""
BEAM_STEPS = 40_000
"""The same for the beam, about."""


@dataclass(frozen=True)
class Value:
    """Bytes in the arena. `users`: the layers that read there; `early`, `kept`: a graph input, a
    graph output.
    """

    bytes: int
    users: int
    early: bool
    kept: bool


@dataclass(frozen=True)
class Task:
    """A layer. `after`: the layers whose outputs it reads, `readers`: those that read its own;
    `touched`: the values it reads or makes.

    `apart`: bytes that it needs beside its inputs and its output; `over`: by an input that dies,
    the bytes that it needs beside its inputs, the output among them, which lies over that one.
    """

    after: int
    readers: tuple[int, ...]
    makes: int
    touched: tuple[int, ...]
    apart: int
    over: Mapping[int, int]


@dataclass(frozen=True)
class Model:
    """Layers and values; sets of layers are bits of an integer."""

    tasks: tuple[Task, ...]
    values: tuple[Value, ...]

    def start(self) -> int:
        """Bytes that are live before the first layer."""
        return sum(value.bytes for value in self.values if value.early)

    def run(self, task: int, done: int, live: int, begun: int) -> tuple[int, int, int]:
        """The bytes that are live while `task` runs and after it, and the values begun then.

        `done`: the layers before it, `live`: the bytes live before it.
        """
        layer = self.tasks[task]
        made, bit = self.values[layer.makes], 1 << task
        is_new = not begun >> layer.makes & 1
        during = live + (made.bytes if is_new else 0) + layer.apart
        begun |= 1 << layer.makes
        after, pending = live + (made.bytes if is_new else 0), ~(done | bit)
        for number in layer.touched:
            value = self.values[number]
            if value.users & pending == 0 and not value.kept:
                after -= value.bytes
                if is_new and number in layer.over:
                    during = min(during, live + layer.over[number])
        return during, after, begun

    def begun(self) -> int:
        """The values that are there before the first layer."""
        return sum(1 << number for number, value in enumerate(self.values) if value.early)

    def peak(self, order: Sequence[int]) -> int:
        """What `order` needs at least."""
        return max([self.start(), *self.needs(order)])

    def needs(self, order: Sequence[int]) -> Iterator[int]:
        """What is live while each layer of `order` runs."""
        done, live, begun = 0, self.start(), self.begun()
        for task in order:
            during, live, begun = self.run(task, done, live, begun)
            done |= 1 << task
            yield during


def best_order(model: Model, most_steps: int = MOST_STEPS) -> tuple[int, ...]:
    """The order that needs least; the one that is given where none needs less."""
    given = tuple(range(len(model.tasks)))
    best, least = given, model.peak(given)
    floor = _floor(model)
    if least <= floor:
        return best
    found = _beam(model, least)
    if found is not None:
        best, least = found, model.peak(found)
    if least <= floor:
        return best
    return _search(model, least, most_steps) or best


def _floor(model: Model) -> int:
    """What some layer needs in any order: its own operands."""
    most = model.start()
    for task in model.tasks:
        live = sum(model.values[v].bytes for v in task.touched if v != task.makes)
        over = [more for value, more in task.over.items() if not model.values[value].kept]
        most = max(most, live + min([task.apart + model.values[task.makes].bytes, *over]))
    return most


@dataclass(frozen=True, slots=True)
class _State:
    """Layers that are done, what they needed at most, and how they came to be done."""

    peak: int
    done: int
    live: int
    begun: int
    ready: tuple[int, ...]
    task: int = -1
    before: _State | None = None

    @property
    def order(self) -> tuple[int, ...]:
        tasks: list[int] = []
        state: _State | None = self
        while state is not None and state.before is not None:
            tasks.append(state.task)
            state = state.before
        return tuple(reversed(tasks))


def _first(model: Model) -> _State:
    ready = tuple(number for number, task in enumerate(model.tasks) if not task.after)
    return _State(model.start(), 0, model.start(), model.begun(), ready)


def _next(model: Model, state: _State) -> list[_State]:
    """One layer more: only the first that frees what it takes, where there is one.

    Such a layer at once is as good as later: whatever runs before it has no less memory for it.
    """
    made: list[tuple[int, int, int, int]] = []
    for number in state.ready:
        during, live, begun = model.run(number, state.done, state.live, state.begun)
        if during <= state.peak and live <= state.live:
            return [_after_task(model, state, number, state.peak, live, begun)]
        made.append((number, max(state.peak, during), live, begun))
    return [_after_task(model, state, *following) for following in made]


def _after_task(
    model: Model, state: _State, number: int, peak: int, live: int, begun: int
) -> _State:
    done = state.done | 1 << number
    freed = (n for n in model.tasks[number].readers if not model.tasks[n].after & ~done)
    ready = (*(n for n in state.ready if n != number), *freed)
    return _State(peak, done, live, begun, ready, number, state)


def _search(model: Model, limit: int, most_steps: int) -> tuple[int, ...] | None:
    """An order that needs the least, less than `limit`; None: there is none, or too many steps."""
    everything = (1 << len(model.tasks)) - 1
    first = _first(model)
    queue = [(first.peak, 0, 0, first)]
    seen, steps, pushed = set[int](), 0, 0
    while queue and steps < most_steps:
        _, depth, _, state = heappop(queue)
        if state.done == everything:
            return state.order
        if state.done in seen:
            continue
        seen.add(state.done)
        steps += len(state.ready)
        for following in _next(model, state):
            if following.peak < limit and following.done not in seen:
                pushed += 1
                heappush(queue, (following.peak, depth - 1, pushed, following))
    return None


def _beam(model: Model, limit: int) -> tuple[int, ...] | None:
    """An order that needs less than `limit`, by the best few sets of each size."""
    count = len(model.tasks)
    width = max(2, min(64, BEAM_STEPS // max(1, count * 8)))
    states = [_first(model)]
    for _ in range(count):
        reached: dict[int, _State] = {}
        for state in states:
            for following in _next(model, state):
                known = reached.get(following.done)
                if following.peak < limit and (known is None or following.peak < known.peak):
                    reached[following.done] = following
        states = sorted(reached.values(), key=lambda state: (state.peak, state.live))[:width]
    return states[0].order if states else None


Extra = Callable[[int, Storage | None], int]
"""`Task.apart` of a layer for None, or one of `Task.over`."""


def ordering(alive: Lives, extra: Extra) -> Model:
    """The model of the layers in `alive`, in their order."""
    after = [_after(alive, layer) for layer in range(len(alive.ops))]
    number = {id(storage): n for n, storage in enumerate(alive.all)}
    users = [0] * len(number)
    tasks = []
    for layer, op in enumerate(alive.ops):
        read, made = alive.read(layer), alive.storages[op.outputs[0]]
        touched = tuple(dict.fromkeys(number[id(storage)] for storage in (*read, made)))
        for value in touched:
            users[value] |= 1 << layer
        over = {number[id(storage)]: extra(layer, storage) for storage in read}
        readers = tuple(n for n, needs in enumerate(after) if needs >> layer & 1)
        apart = extra(layer, None)
        tasks.append(Task(after[layer], readers, number[id(made)], touched, apart, over))
    values = tuple(
        Value(aligned(s.bytes), users[n], s.first == BEFORE, s.last >= len(alive.ops))
        for n, s in enumerate(alive.all)
    )
    return Model(tuple(tasks), values)


def _after(alive: Lives, layer: int) -> int:
    """The layers that make what `layer` reads: those that write where it does."""
    graph, after = alive.graph, 0
    for tensor in activations(graph, alive.ops[layer]):
        start = alive.offsets[tensor]
        end = start + graph[tensor].bytes
        for writer in alive.storages[tensor].writers:
            if any(first < end and start < last for first, last in alive.written(writer)):
                after |= 1 << writer
    return after
