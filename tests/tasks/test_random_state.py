"""What is drawn for one thing depends on nothing else."""

import asyncio
import pickle
import random
import threading

import numpy as np

from evalharness.tasks.random_state import draws, seeded, seeded_again, seeded_with


def drawn() -> list[float]:
    return [
        random.random(),
        random.choice(range(100)),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.permutation(50)[0]),
        float(np.random.sample()),
    ]


def of(*parts: object) -> list[float]:
    with seeded(*parts):
        return drawn()


def test_the_same_parts_give_the_same_draws_whatever_was_drawn_before() -> None:
    first = of("task", 3)
    drawn()
    random.seed(5)
    np.random.seed(5)
    assert of("task", 3) == first


def test_every_part_counts() -> None:
    firsts = {
        tuple(of(*parts)) for parts in [("a", 1), ("a", 2), ("b", 1), ("a", "1"), ("a", 1, 1)]
    }
    assert len(firsts) == 5


def test_seeds_dont_change_between_versions() -> None:
    with seeded("task", 0, 0, "score"):
        assert random.random() == 0.9550966661845215
        assert np.random.rand() == 0.9192493541663479


def test_the_streams_outside_continue_as_if_nothing_had_been_drawn() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = drawn()
    random.seed(1)
    np.random.seed(1)
    of("x")
    assert drawn() == expected


def test_a_seed_that_a_task_sets_holds_for_its_place_only() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = drawn()
    random.seed(1)
    np.random.seed(1)
    with seeded("x"):
        random.seed(7)
        np.random.seed(7)
        inside = drawn()
    assert drawn() == expected
    random.seed(7)
    np.random.seed(7)
    assert drawn() == inside


def test_given_seeds_are_those_of_random_and_numpy_themselves() -> None:
    with seeded_with(python=0, numpy=1234):
        inside = drawn()
    assert inside[0] == random.Random(0).random() == 0.8444218515250481
    assert inside[3] == np.random.RandomState(1234).rand() == 0.1915194503788923


def test_a_beginning_anew_ends_where_it_ends() -> None:
    with seeded_with(python=0, numpy=0):
        first = drawn()
        with seeded_again():
            assert drawn() == first
        assert drawn() != first


def test_nothing_begins_anew_outside() -> None:
    random.seed(3)
    np.random.seed(3)
    with seeded_again():
        first = drawn()
    assert drawn() != first


def test_drawing_is_seen() -> None:
    assert draws(lambda: random.shuffle([1, 2]))
    assert draws(lambda: np.random.shuffle([1, 2]))
    assert draws(lambda: random.seed(1))
    assert not draws(lambda: sorted([2, 1]))


def test_another_thread_doesnt_disturb() -> None:
    expected, found = of("x"), []
    with seeded("x"):
        thread = threading.Thread(target=lambda: found.append(drawn()))
        thread.start()
        thread.join()
        assert drawn() == expected
    assert found[0] != expected


def test_conversations_that_take_turns_dont_disturb_each_other() -> None:
    async def talk(name: str) -> list[float]:
        with seeded(name):
            first = drawn()
            await asyncio.sleep(0)
            return [*first, *drawn()]

    async def both() -> list[list[float]]:
        return list(await asyncio.gather(talk("a"), talk("b")))

    assert asyncio.run(both()) == [asyncio.run(talk("a")), asyncio.run(talk("b"))]


def test_functions_of_both_modules_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(np.random.shuffle)) is np.random.shuffle
    assert pickle.loads(pickle.dumps(random.shuffle)) == random.shuffle
