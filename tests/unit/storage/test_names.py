"""Logical file names: what is one, and where somebody may write."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.core.errors import BadRequest, DiracXError, Forbidden
from diracx_tasks.storage.names import LONGEST, Writer, checked, is_lfn, lfn_of, location_of, must_write

NAME = st.from_regex(r"[A-Za-z0-9._+=@,~-]{1,20}", fullmatch=True).filter(
    lambda name: name not in (".", "..")
)
LFN = st.lists(NAME, min_size=1, max_size=8).map(lambda parts: "/lhcb/" + "/".join(parts))


@given(LFN)
def test_a_checked_name_is_checked_already_and_comes_back_from_its_location(lfn: str) -> None:
    assert checked(lfn, "lhcb") == lfn
    assert checked(location_of(lfn), "lhcb") == checked(f"LFN:{lfn}//", "lhcb") == lfn
    assert is_lfn(location_of(lfn)) and lfn_of(location_of(lfn)) == lfn
    with pytest.raises(Forbidden):
        checked(lfn, "belle")


@given(st.text(max_size=300))
def test_whatever_is_taken_lies_below_the_vo_and_leads_nowhere_else(text: str) -> None:
    try:
        lfn = checked(text, "lhcb")
    except DiracXError as error:
        assert error.http_status in (400, 403)
        return
    assert re.match(r"/lhcb(/[A-Za-z0-9._+=@,~-]+)*\Z", lfn) and len(lfn) <= LONGEST
    assert not {".", ".."} & set(lfn.split("/"))


@given(LFN, st.sampled_from([" ", "\n", "\0", "%", "#", "?", "*", "\\", ":", "é", "\ud800", "/../", "/./"]))
def test_no_other_character_and_no_way_up_is_allowed(lfn: str, wrong: str) -> None:
    with pytest.raises(BadRequest):
        checked(f"{lfn}{wrong}x", "lhcb")


@pytest.mark.parametrize("text", ["", "lfn:", "/", "x", "lhcb/x", "file:///etc/passwd", "/lhcb/" + "x" * 250])
def test_what_is_no_lfn_is_named(text: str) -> None:
    with pytest.raises(BadRequest, match="is no LFN"):
        checked(text, "lhcb")


@given(LFN)
def test_everybody_writes_below_his_own_folder_only(lfn: str) -> None:
    alice = Writer("alice", "user", "lhcb")
    must_write(alice, f"/lhcb/user/a/alice{lfn}")
    must_write(Writer("alice", "data", "lhcb", is_manager=True), lfn)
    if not lfn.startswith("/lhcb/user/a/alice/"):
        with pytest.raises(Forbidden, match="/lhcb/user/a/alice/"):
            must_write(alice, lfn)
