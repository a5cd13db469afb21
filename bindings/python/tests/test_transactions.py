"""Everything in a with block, or nothing."""

from __future__ import annotations

import threading
import time

import pytest

import hivekeep


pytestmark = pytest.mark.local


def test_a_block_commits_at_its_end_and_reads_what_it_wrote(store: hivekeep.Store) -> None:
    with store.write() as tx:
        tx.config["a"] = 1
        tx.collection("rooms")["roof"] = 2
        assert tx.config["a"] == 1 and "a" not in store.config
        assert dict(tx.collection("rooms")) == {"roof": 2}
    assert store.config["a"] == 1 and dict(store.collection("rooms")) == {"roof": 2}


def test_an_exception_takes_the_block_back(store: hivekeep.Store) -> None:
    with pytest.raises(ZeroDivisionError):
        with store.write() as tx:
            tx.config["a"] = 1
            1 / 0
    assert "a" not in store.config


def test_a_refused_verb_leaves_the_block_going(store: hivekeep.Store) -> None:
    with store.write() as tx:
        with pytest.raises(hivekeep.Invalid):
            tx.config[""] = 1
        tx.config["a"] = 1
    assert dict(store.config) == {"a": 1}


def test_a_block_that_is_held_too_long_is_taken_back_and_lets_others_write(store: hivekeep.Store) -> None:
    with pytest.raises(hivekeep.NotCommitted, match="max_hold=100ms"):
        with store.write(max_hold=0.1) as tx:
            tx.config["a"] = 1
            time.sleep(0.3)
            other = threading.Thread(target=store.config.__setitem__, args=("b", 2))
            other.start()
            other.join(5)
            assert not other.is_alive()
            tx.config["c"] = 3
    with pytest.raises(hivekeep.NotCommitted):
        with store.write(max_hold="100ms") as tx:
            tx.config["a"] = 1
            time.sleep(0.3)
    assert dict(store.config) == {"b": 2}


def test_a_write_past_the_block_is_refused_instead_of_waiting_for_itself(store: hivekeep.Store) -> None:
    with store.write() as tx:
        for write in (lambda: store.config.clear(), lambda: store.write().__enter__(), store.close):
            with pytest.raises(hivekeep.Conflict, match="inside of a transaction"):
                write()
        tx.config["a"] = 1
    store.config["b"] = 2
    assert dict(store.config) == {"a": 1, "b": 2}


def test_a_block_that_has_ended_takes_no_more(store: hivekeep.Store) -> None:
    with store.write() as tx:
        config = tx.config
    with pytest.raises(hivekeep.Conflict, match="has ended"):
        config["a"] = 1
    assert dict(store.config) == {}


def test_blocks_of_many_threads_come_one_after_the_other(store: hivekeep.Store) -> None:
    store.config["count"] = 0

    def add() -> None:
        for _ in range(10):
            with store.write() as tx:
                tx.config["count"] += 1

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.config["count"] == 80


def test_the_verbs_of_a_block_may_come_from_another_thread(store: hivekeep.Store) -> None:
    with store.write() as tx:
        thread = threading.Thread(target=tx.config.__setitem__, args=("a", 1))
        thread.start()
        thread.join()
        assert tx.config["a"] == 1


@pytest.mark.parametrize("length", [0, -1, "", "10", float("nan")])
def test_a_length_of_time_that_is_none_is_refused(store: hivekeep.Store, length: float | str) -> None:
    with pytest.raises(hivekeep.Invalid):
        with store.write(max_hold=length):
            pass


def test_a_transaction_that_nobody_ended_is_taken_back_and_its_thread_may_write_again(store: hivekeep.Store) -> None:
    steps = store._raw.write(1000, True)
    del steps
    store.config["a"] = 1
    assert store.config["a"] == 1
