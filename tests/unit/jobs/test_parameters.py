"""Job parameters without OpenSearch, what a parameter may be, and names of indexes."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from diracx_tasks.core.errors import BadRequest, SettingsError, TooLarge
from diracx_tasks.jobs import parameters
from diracx_tasks.jobs.parameter_documents import index_of
from diracx_tasks.jobs.states import Status
from diracx_tasks.jobs.tables import Parameter, ParameterNews
from tests.builders import VO, Installation, a_job, environment


def record(db: Session, job_id: int, **found: Any) -> None:
    parameters.record(db, {job_id: found}, {job_id: VO})


def known(db: Session, job_id: int, vo: str = VO) -> dict[str, Any]:
    found = parameters.read(db, [job_id], vo)
    assert found.is_complete
    return found.parameters.get(job_id, {})


def test_without_opensearch_values_are_texts_as_dirac_has_them(db: Session) -> None:
    job_id = a_job(db, Status.RECEIVED)
    record(db, job_id, HostName="wn1", PayloadPID=42, Factor=1.5, Good=True, Sites=["A", 2], Map={"a": [1]})
    record(db, job_id, At=datetime(2026, 11, 23, 10, tzinfo=UTC), Nothing=None)
    assert known(db, job_id) == {
        "HostName": "wn1",
        "PayloadPID": "42",
        "Factor": "1.5",
        "Good": "True",
        "Sites": '["A", 2]',
        "Map": '{"a": [1]}',
        "At": "2026-11-23T10:00:00+00:00",
    }
    rows = db.execute(select(Parameter.name, Parameter.value).where(Parameter.job_id == job_id)).all()
    assert {row.name: row.value for row in rows} == known(db, job_id)


def test_a_later_value_replaces_an_earlier_one_and_leaves_the_others(db: Session) -> None:
    job_id = a_job(db, Status.RECEIVED)
    record(db, job_id, HostName="wn1", CEQueue="long")
    record(db, job_id, HostName="wn2")
    assert known(db, job_id) == {"HostName": "wn2", "CEQueue": "long"}


def test_thousands_of_values_are_stored_at_once(db: Session) -> None:
    job_ids = [a_job(db, Status.RECEIVED) for _ in range(3)]
    found = {job_id: {f"p{number}": number for number in range(1001)} for job_id in job_ids}
    parameters.record(db, found, dict.fromkeys(job_ids, VO))
    read = parameters.read(db, job_ids, VO).parameters
    assert {job_id: len(values) for job_id, values in read.items()} == dict.fromkeys(job_ids, 1001)
    assert read[job_ids[1]]["p1000"] == "1000"


def test_what_belongs_to_another_vo_is_not_read(db: Session) -> None:
    mine, other = a_job(db, Status.RECEIVED), a_job(db, Status.RECEIVED, vo="atlas")
    parameters.record(db, {mine: {"a": 1}, other: {"a": 2}}, {mine: VO, other: "atlas"})
    assert parameters.read(db, [mine, other, 10**6], VO).parameters == {mine: {"a": "1"}}


def test_the_end_of_a_long_output_is_kept(db: Session) -> None:
    job_id = a_job(db, Status.RECEIVED)
    record(db, job_id, StandardOutput="ü" * 40_000 + "the end")
    output = known(db, job_id)["StandardOutput"]
    assert output.endswith("üthe end")
    assert parameters.VALUE_BYTES - 1 <= len(output.encode()) <= parameters.VALUE_BYTES


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("", 1, BadRequest, "1 to 100 characters"),
        ("  ", 1, BadRequest, "1 to 100 characters"),
        ("n" * 101, 1, BadRequest, "1 to 100 characters"),
        ("JobID", 1, BadRequest, "cannot be a parameter"),
        ("load", float("nan"), BadRequest, "finite"),
        ("load", [1.0, float("inf")], BadRequest, "finite"),
        ("text", "x" * 65_536, TooLarge, "65536 bytes: 65535 at most"),
    ],
)
def test_what_cannot_be_a_parameter_is_refused_in_words(
    db: Session, name: str, value: Any, error: type[Exception], words: str
) -> None:
    job_id = a_job(db, Status.RECEIVED)
    with pytest.raises(error, match=words):
        parameters.record(db, {job_id: {name: value}}, {job_id: VO})
    assert known(db, job_id) == {}


def test_texts_of_every_kind_are_stored(db: Session) -> None:
    job_id = a_job(db, Status.RECEIVED)
    texts = ["\0", "\ud800", "' OR 1=1 --", "日本", "\U0001f600", "%s", "a\nb", 2**70]
    parameters.record(db, {job_id: {f"p{n}": text for n, text in enumerate(texts)}}, {job_id: VO})
    db.commit()
    read = known(db, job_id)
    assert read.pop("p1") == "\\ud800"
    assert list(read.values()) == [str(text) for text in texts if text != "\ud800"]


def test_a_removed_job_has_no_parameters(db: Session) -> None:
    gone, stays = a_job(db, Status.RECEIVED), a_job(db, Status.RECEIVED)
    for job_id in (gone, stays):
        record(db, job_id, a=1)
    for _ in range(2):
        parameters.forget(db, [gone])
    assert known(db, gone) == {}
    assert known(db, stays) == {"a": "1"}
    assert db.scalars(select(ParameterNews)).all() == []
    assert parameters.backlog(db) == (0, 0.0)


vos = st.text(min_size=1, max_size=32)


@given(st.sets(vos, min_size=2, max_size=4), st.integers(0, 2**31))
def test_vos_never_share_an_index_and_its_name_is_always_one_of_ours(names: set[str], job_id: int) -> None:
    indexes = {index_of(vo, job_id, names) for vo in names}
    assert len(indexes) == len(names)
    for index in indexes:
        assert re.fullmatch(r"job_parameters_[a-z0-9_.~-]+_\d+m", index)
        assert len(index) <= 255


@pytest.mark.parametrize(
    ("vo", "index"),
    [
        ("lhcb", "job_parameters_lhcb_2m"),
        ("GridPP", "job_parameters_gridpp_2m"),
        ("vo.cta.in2p3.fr", "job_parameters_vo.cta.in2p3.fr_2m"),
    ],
)
def test_usual_vos_have_the_indexes_that_diracx_gives_them(vo: str, index: str) -> None:
    assert index_of(vo, 2_999_999, ["lhcb", "GridPP", "vo.cta.in2p3.fr"]) == index


@pytest.mark.parametrize(
    "vo", ["lhcb,atlas", "lhcb*", "../lhcb", "_all", "a b", "LHCB", "\u017f", "lhcb_0m,x"]
)
def test_a_vo_with_an_odd_name_gets_at_nothing_of_anothers(vo: str) -> None:
    index = index_of(vo, 1, ["lhcb", vo])
    assert not set(index) & set(',*/ ?"<>|#:\\')
    assert index != index_of("lhcb", 1, ["lhcb", vo])


@pytest.mark.parametrize("prefix", ["Prod", "a*", "_x", "a,b", "../", "x" * 65])
def test_a_prefix_that_can_be_in_no_index_is_named(installation: Installation, prefix: str) -> None:
    with (
        environment(DIRACX_OPENSEARCH_PREFIX=prefix),
        pytest.raises(SettingsError, match="OPENSEARCH_PREFIX"),
    ):
        index_of("lhcb", 1, [])
