"""Scripts run on a thread's own connection, which survives what happens to Redis."""

import pytest
from redis.exceptions import ResponseError

from diracx_tasks.core.redis import _own, call, redis
from tests.builders import installation, template

__all__ = ["installation", "template"]


pytestmark = pytest.mark.usefixtures("installation")


def answer(word: str) -> str:
    script = redis().register_script("if ARGV[1] == 'wrong' then return redis.call('NO') end return ARGV[1]")
    return str(call(script, [], [word]))


def test_a_script_is_loaded_when_redis_has_forgotten_it() -> None:
    assert answer("a") == "a"
    redis().script_flush()
    assert [answer("b"), answer("c")] == ["b", "c"]


def test_a_connection_that_was_closed_is_opened_again() -> None:
    assert answer("a") == "a"
    redis().client_kill_filter(_type="normal", skipme=False)
    assert [answer("b"), answer("c")] == ["b", "c"]


def test_an_error_of_a_script_leaves_the_next_answer_alone() -> None:
    with pytest.raises(ResponseError):
        answer("wrong")
    assert answer("b") == "b"


def test_an_answer_that_was_not_read_is_never_that_of_another_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Celery ends a task that takes too long between any two steps."""
    assert answer("a") == "a"
    connection = _own().connection

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(connection, "read_response", interrupt)
        with pytest.raises(KeyboardInterrupt):
            answer("lost")
    assert answer("b") == "b"
