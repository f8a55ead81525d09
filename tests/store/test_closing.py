"""A store that is closed while somebody reads."""

import threading

from interlock.store.sqlite import Store

SLOW = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) FROM n"
)


def test_a_read_in_another_thread_is_waited_for_and_gets_what_it_asked_for(tmp_path):
    store = Store.open(tmp_path / "interlock.db", now=lambda: 0)
    reading = threading.Event()
    found = []

    def read(db):
        reading.set()
        return db.execute(SLOW).get

    thread = threading.Thread(target=lambda: found.append(store.read(read)))
    thread.start()
    assert reading.wait(5)
    store.close()
    thread.join()
    assert found == [3_000_000]
