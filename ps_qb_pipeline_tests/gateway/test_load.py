"""A gateway process keeps what it acknowledges and takes nothing that it should not. Small numbers; ``load`` has large ones."""

import pytest

from ps_qb_pipeline_tests.gateway.load import attack, load, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("gateway")) as started:
        yield started


def test_everything_acknowledged_is_on_disk(server):
    """A hundred and fifty a second: each answered with 200, each in the inbox."""
    found = load(server, rate=150, seconds=2)
    assert found["statuses"] == {200: 300}
    assert found["acknowledged_and_lost"] == 0


def test_two_thousand_hostile_requests_move_nothing(server):
    """Of bodies that mix companies only ours is taken; of all others nothing; the process serves on."""
    found = attack(server, count=2000, seed=7)
    assert found["requests"] == 2000
    assert found["accepted_that_should_not_be"] == 0
    assert found["mixed_and_lost"] == 0
    assert not found["ended"]
    assert found["serves_on"]
    assert len(found["kinds"]) == 9
