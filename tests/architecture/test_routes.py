"""Every route, walked by everybody who might ask: what a VO owns, no other VO sees or changes."""

from dataclasses import replace

import pytest

from diracx_tasks.auth.rights import SERVICE
from diracx_tasks.auth.tokens import User
from tests.api.caller import Api
from tests.architecture.owned import GUARDED, PFN, ROUTES, SECRET, Property, owned, said
from tests.builders import a_pilot, a_user, an_administrator

__all__ = ["owned"]
# Tasks are the service's and of no VO: who may operate it may read of all, and what they say names nothing.
OPERATED = "a service administrator"
EVERYTHING = ("NormalUser", "JobAdministrator", "ServiceAdministrator", "GenericPilot")
# A token is enough for these.
ANYBODY, NOT_A_PILOT = "anybody with a token", "anybody but a pilot"
READ = "a normal user or administrator of the VO"
MANAGE = "the owner, or an administrator of the VO"
REPORT = "the owner, an administrator of the VO, or the pilot that holds the job"
PAYLOAD = "a pilot of the VO, or who may read"
PILOTS = "a service administrator of the VO, or the pilot itself"
RIGHTS = {ANYBODY, NOT_A_PILOT, READ, MANAGE, REPORT, PAYLOAD, PILOTS, OPERATED, "a normal user", "a pilot"}
STRANGERS = {
    "a user of another VO": a_user("alice", vo="belle"),
    "an administrator of another VO": an_administrator(vo="belle"),
    "a pilot of another VO with the same stamp": a_pilot(vo="belle"),
    "a service administrator of another VO": a_user(vo="belle", properties=(SERVICE,)),
    "somebody with every right in another VO": a_user(vo="belle", properties=EVERYTHING),
}
# About one's own things, or about nothing in particular: a stranger is answered, without a word of lhcb's.
OWN = {
    "workflows_submit_workflow",
    "workflows_check_workflow",
    "workflows_make_inputs_template",
    "workflows_list_workflows",
    "jobs_submit_jdl_jobs",
    "jobs_submit_cwl_jobs",
    "jobs_initiate_sandbox_upload",
    "jobs_search",
    "jobs_summary",
    "jobs_act_on_jobs",
    "pilots_search",
    "pilots_summary",
    "pilots_match_jobs",
    "rss_get_storage_status",
    "rss_get_compute_status",
    "rss_get_site_status",
    "rss_get_fts_status",
    "auth_get_refresh_tokens",
    "auth_userinfo",
    "config_serve_config",
    "matching_get_classes",
    "matching_get_nodes",
    "matching_get_limits",
    "matching_get_health",
    "data_list_elements",
    "usage_get_usage",
    "usage_plot_usage",
    "usage_get_states",
    "usage_plot_states",
    "sites_get_tests",
    "sites_list_sites",
    "wes_list_runs",
    "notices_get_wishes",
    "notices_set_wishes",
    "notices_forget_wishes",
    "notices_forget_group",
    "wes_run_workflow",
}
# What the service's administrator of another VO does not find there.
NOT_FOUND = (
    "tasks_release_lock",
    "pilots_kill_pilots",
    "pilots_get_log",
    "pilots_get_output",
    "pilots_ask_for_output",
    "pilots_create_pilot_secrets",
    "sites_ban",
    "sites_allow",
)
# Files belong to their owner alone.
FILES = ("jobs_get_sandbox_file", "wes_get_run_file")
# Jobs that are not there: 400 with the reasons, or nothing to be done.
MISSING = {"jobs_reschedule_jobs": 400, "jobs_unassign_bulk_jobs_sandboxes": 204}
# What changes what is the stranger's own.
ADDS = {"jobs_submit_jdl_jobs", "jobs_submit_cwl_jobs", "jobs_initiate_sandbox_upload"}
ADDS |= {"notices_set_wishes", "notices_forget_wishes"}
# The letter was just tried again.
GONE = dict.fromkeys(NOT_FOUND, 404) | {"tasks_drop_dead": 409}


def right(key: str) -> str:
    return str(ROUTES[key][1]["x-right"])


def of(*rights: str) -> list[str]:
    return [key for key in GUARDED if right(key) in rights]


def test_every_right_is_known_here() -> None:
    assert {right(key) for key in GUARDED} == RIGHTS
    assert OWN | MISSING.keys() <= set(GUARDED)


def test_no_token_or_a_false_one_is_401_everywhere(api: Api, owned: Property) -> None:
    before = owned.state()
    for key in GUARDED:
        nothing = owned.ask(api, key, None)
        assert (nothing.status_code, said(nothing)) == (401, "Authorization header is missing"), key
        assert nothing.headers["WWW-Authenticate"] == "Bearer"
        false = owned.ask(api, key, None, headers={"Authorization": "Bearer x.y.z"})
        assert (false.status_code, said(false)) == (401, "Invalid JWT"), key
        assert owned.ask(api, key, None, headers={"Authorization": "Basic x"}).status_code == 400, key
    assert owned.state() == before


def test_a_token_without_the_property_is_403_unless_any_token_will_do(api: Api, owned: Property) -> None:
    eve = a_user("eve", properties=("FileCatalogManagement",))
    for key in GUARDED:
        answer = owned.ask(api, key, eve)
        if right(key) in (ANYBODY, NOT_A_PILOT):
            assert answer.status_code in ((403,) if "by_jti" in key else (200,)), (key, answer.text)
        else:
            assert answer.status_code == 403, key
            assert said(answer).startswith("Forbidden: this needs"), key


@pytest.mark.parametrize("who", STRANGERS)
def test_nothing_of_a_vo_leaks_into_another(api: Api, owned: Property, who: str) -> None:
    stranger, before = STRANGERS[who], owned.state()
    for key in GUARDED:
        answer = owned.ask(api, key, stranger)
        said = answer.text.replace("belle/user/alice", "")
        assert SECRET not in said and "user/alice/sha256" not in said, key
        if right(key) == OPERATED:
            may = SERVICE in stranger.properties
            assert answer.status_code in ((200, 202, GONE.get(key)) if may else (403,)), (key, answer.text)
        elif key in OWN:
            assert answer.status_code in (200, 201, 403), (key, answer.text)
        else:
            assert answer.status_code in (403, 404, MISSING.get(key)), (key, answer.text)
        now = owned.state()
        assert now == before or key in ADDS, key
        before = now


def test_nobody_but_a_service_administrator_sees_tasks_or_changes_them(api: Api, owned: Property) -> None:
    rest = tuple(name for name in EVERYTHING if name != SERVICE)
    for key in of(OPERATED):
        answer = owned.ask(api, key, a_user(properties=rest))
        assert (answer.status_code, answer.json()["detail"]) == (403, f"Forbidden: this needs {OPERATED}")


def test_a_service_administrator_has_nothing_to_do_with_jobs_and_workflows(api: Api, owned: Property) -> None:
    carol, before = a_user("carol", properties=(SERVICE,)), owned.state()
    for key in of("a normal user", READ, MANAGE, REPORT, PAYLOAD, "a pilot"):
        assert owned.ask(api, key, carol).status_code == 403, key
    assert owned.state() == before


def test_a_pilot_may_do_nothing_that_is_a_persons(api: Api, owned: Property) -> None:
    before = owned.state()
    for key in of("a normal user", READ, MANAGE, NOT_A_PILOT, OPERATED):
        assert owned.ask(api, key, a_pilot()).status_code == 403, key
    assert owned.state() == before


@pytest.mark.parametrize(
    "pilot", [a_pilot("stamp-2"), replace(a_pilot(), pilot_stamp=None)], ids=["other", "none"]
)
def test_a_pilot_of_another_job_or_without_a_stamp_gets_nothing_of_this_one(
    api: Api, owned: Property, pilot: User
) -> None:
    before = owned.state()
    for key in [*of(REPORT, "a pilot"), "jobs_get_job_sandboxes", "jobs_get_job_sandbox"]:
        answer = owned.ask(api, key, pilot)
        assert answer.status_code == 403, f"{key}: {answer.status_code} {answer.text}"
    assert owned.state() == before


def test_a_pilot_changes_no_other_pilot(api: Api, owned: Property) -> None:
    before = owned.state()
    assert owned.ask(api, "pilots_update_pilot_metadata", a_pilot("stamp-2")).status_code == 403
    assert owned.state() == before


def test_the_pilot_of_the_job_may_say_what_there_is_to_say_of_it(api: Api, owned: Property) -> None:
    for key in (
        "jobs_add_heartbeat",
        "jobs_patch_metadata",
        "jobs_get_job_sandboxes",
        "jobs_get_job_sandbox",
    ):
        assert owned.ask(api, key, a_pilot()).status_code in (200, 204), key
    assert owned.ask(api, "jobs_unassign_job_sandboxes", a_pilot()).status_code == 200
    assert owned.ask(api, "jobs_assign_sandbox_to_job", a_pilot()).status_code == 200
    assert owned.ask(api, "jobs_set_job_statuses", a_pilot()).status_code == 200


def test_a_colleague_reads_and_changes_nothing(api: Api, owned: Property) -> None:
    bob, before = a_user("bob"), owned.state()
    for key in of(MANAGE, REPORT, PILOTS, "a pilot"):
        assert owned.ask(api, key, bob).status_code == 403, key
    assert owned.ask(api, "auth_revoke_refresh_token_by_jti", bob).status_code == 403
    for key in FILES:
        assert owned.ask(api, key, bob).status_code == 403, key
    for key in of(READ, PAYLOAD, NOT_A_PILOT):
        if key not in FILES:
            assert owned.ask(api, key, bob).status_code == 200, key
    assert SECRET not in owned.ask(api, "auth_get_refresh_tokens", bob).text
    assert owned.state() == before


@pytest.mark.parametrize("who", [a_user(), an_administrator()], ids=["owner", "administrator"])
@pytest.mark.parametrize("key", [*of(MANAGE, REPORT, READ, PAYLOAD)])
def test_the_owner_and_an_administrator_of_the_vo_may_all(
    api: Api, owned: Property, key: str, who: User
) -> None:
    answer = owned.ask(api, key, who)
    if key == "jobs_assign_sandbox_to_job":
        assert (answer.status_code, answer.json()["detail"]) == (400, "Sandbox already assigned")
    elif key == "workflows_rerun_workflow":
        assert (answer.status_code, "nothing to do again" in answer.text) == (409, True)
    else:
        assert answer.status_code in (200, 204), f"{answer.status_code} {answer.text}"
    if key == "jobs_get_job_sandbox":
        assert answer.json() == [PFN.removeprefix("SB:SandboxSE|")]
