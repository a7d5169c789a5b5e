"""What a provider carries for us can neither be read nor made by others, nor kept for later."""

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from diracx_tasks.auth import state
from diracx_tasks.auth.authorization import answer_to
from diracx_tasks.auth.device import normal
from diracx_tasks.core.errors import BadRequest
from tests.builders import Installation

PENDING = state.Pending("authorization", "0199", "lhcb", "a-verifier", "https://web/#back", "their & state")
often = hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_what_was_sealed_is_unsealed_and_cannot_be_read(installation: Installation) -> None:
    sealed = state.seal(PENDING)
    assert state.unseal(sealed) == PENDING
    assert "verifier" not in sealed and state.seal(PENDING) != sealed


@often
@given(st.integers(0, 10_000), st.sampled_from("Ab9_-="))
def test_a_changed_letter_breaks_it(installation: Installation, place: int, letter: str) -> None:
    sealed = state.seal(PENDING)
    place %= len(sealed.rstrip("=")) - 1
    changed = sealed[:place] + letter + sealed[place + 1 :]
    if changed != sealed:
        with pytest.raises(BadRequest, match="Invalid state"):
            state.unseal(changed)


@often
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_other_text_is_refused(installation: Installation, text: str) -> None:
    with pytest.raises(BadRequest, match="Invalid state"):
        state.unseal(text)


@pytest.mark.parametrize("flow, seconds", [("authorization", 300), ("device", 600)])
def test_it_expires_with_the_login_that_it_is_about(
    installation: Installation, flow: Any, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = state.Pending(flow, "key", "lhcb", "verifier")
    sealed, now = state.seal(pending), time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds - 2)
    assert state.unseal(sealed) == pending
    monkeypatch.setattr(time, "time", lambda: now + seconds + 2)
    with pytest.raises(BadRequest, match="Invalid state"):
        state.unseal(sealed)


@pytest.mark.parametrize(
    "address, answered",
    [
        ("https://web/#authentication-callback", "https://web/#authentication-callback?code=a+b"),
        ("https://web/back", "https://web/back?code=a+b"),
        ("https://web/back?x=1", "https://web/back?x=1&code=a+b"),
        ("https://web/?x=1#back", "https://web/?x=1#back?code=a+b"),
    ],
)
def test_an_answer_goes_where_the_page_reads_it(address: str, answered: str) -> None:
    assert answer_to(address, code="a b") == answered


@pytest.mark.parametrize("typed", ["BCDFGHJK", "bcdf-ghjk", " BCDF GHJK\n", "bcdf.ghjk"])
def test_a_code_is_the_same_however_it_is_typed(typed: str) -> None:
    assert normal(typed) == "BCDFGHJK"
