"""What we store of a description against what DIRACCommon's functions make of it, called as by DiracX 0.7."""

from pathlib import Path
from typing import Any

import pytest
from DIRACCommon.Core.Utilities.ClassAd.ClassAdLight import ClassAd
from DIRACCommon.Core.Utilities.ReturnValues import S_OK
from DIRACCommon.WorkloadManagementSystem.DB.JobDBUtils import (
    checkAndAddOwner,
    checkAndPrepareJob,
    createJDLWithInitialStatus,
)

from diracx_tasks.core.operations import Operations
from diracx_tasks.jobs.jdl import Ad, InvalidJdl, parse
from diracx_tasks.jobs.manifest import Manifest, describe

# Of other VOs, parametric, or without a meaning as a job.
LEFT_OUT = {"ilc", "parametric_list", "parametric_named", "parametric_number", "parametric_files"}
CORPUS = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "corpus").glob("*.jdl"))}
OPERATIONS = Operations.model_validate({"JobDescription": {"AllowedJobTypes": ["User", "MCSimulation"]}})
USER = {"owner": "alice", "group": "lhcb_user", "vo": "lhcb"}
LIMITS = {
    "defaultForGroup": {"CPUTime": 86400, "Priority": 1},
    "minForGroup": {"CPUTime": 100, "Priority": 0},
    "maxForGroup": {"CPUTime": 500000, "Priority": 10},
    "allowedJobTypesForGroup": ["User", "MCSimulation"],
    "maxInputData": 100,
}


def ours(text: str) -> Manifest:
    return describe(parse(text), **USER, operations=OPERATIONS, platforms={"x86_64-el9": ["x86_64-el9"]})


def theirs(text: str) -> tuple[Any, dict[str, Any]]:
    """The record that DiracX stores under number 42, and its columns."""
    text = text.strip()
    text = text if text.startswith("[") and text.endswith("]") else f"[{text}]"
    manifest = checkAndAddOwner(text, "alice", "lhcb_user", job_manifest_config=LIMITS)
    assert manifest["OK"], manifest
    manifest["Value"].setOption("JobID", 42)
    ad, needs, columns = ClassAd(manifest["Value"].dumpAsJDL()), ClassAd("[]"), dict[str, Any]()
    ad.insertAttributeInt("JobID", 42)
    config = {
        "inputDataPolicyForVO": OPERATIONS.InputDataPolicy.InputDataModule,
        "softwareDistModuleForVO": OPERATIONS.SoftwareDistModule,
        "defaultCPUTimeForOwnerGroup": 86400,
        "getDIRACPlatform": lambda names: S_OK(["x86_64-el9"]),
    }
    done = checkAndPrepareJob(42, ad, needs, "alice", "lhcb_user", columns, "lhcb", config=config)
    assert done["OK"], done
    stored = createJDLWithInitialStatus(
        ad, needs, ["JobName", "JobType", "JobGroup"], columns, "Received", "Job accepted", modern=True
    )
    return ClassAd(stored), columns


def packed(items: list[str]) -> list[str]:
    return [found for item in items if (found := item.replace(" ", ""))]


@pytest.mark.parametrize("name", sorted(CORPUS.keys() - LEFT_OUT))
def test_the_stored_text_says_what_diracx_would_store(name: str) -> None:
    found, (peer, _) = parse(ours(CORPUS[name]).jdl(42)), theirs(CORPUS[name])
    assert sorted(found) == sorted(peer.getAttributes())
    for attribute, value in found.items():
        if isinstance(value, Ad):
            continue
        words = ",".join(found.strings(attribute)) if isinstance(value, list) else found.text(attribute)
        listed = peer.getListFromExpression(attribute)
        assert packed(words.replace('"', "").split(",")) == packed(",".join(listed).split(",")), attribute


@pytest.mark.parametrize("name", sorted(CORPUS.keys() - LEFT_OUT))
def test_the_requirements_in_the_stored_text_are_those_of_diracx(name: str) -> None:
    found = ClassAd(ours(CORPUS[name]).jdl(42)).get_expression("JobRequirements")
    peer = theirs(CORPUS[name])[0].get_expression("JobRequirements")
    assert ClassAd(found).contents == ClassAd(peer).contents


@pytest.mark.parametrize("name", sorted(CORPUS.keys() - LEFT_OUT))
def test_the_columns_are_those_of_diracx(name: str) -> None:
    found, columns = ours(CORPUS[name]), theirs(CORPUS[name])[1]
    assert found.job_name == columns.get("JobName", "Unknown")
    assert found.job_group == columns.get("JobGroup", "00000000")
    assert found.job_type == columns.get("JobType", "User")
    assert found.priority == columns["UserPriority"]
    assert found.site == columns.get("Site", "ANY")


@pytest.mark.parametrize(("stated", "kept"), [("CPUTime = 5;", 100), ("CPUTime = 900000;", 500_000)])
def test_diracx_computes_limits_and_forgets_them(stated: str, kept: int) -> None:
    text = f'Executable = "x"; {stated}'
    assert theirs(text)[0].get_expression("CPUTime") == str(parse(text)["CPUTime"])
    assert ours(text).cpu_seconds == kept


@pytest.mark.parametrize("text", ["CPUTime = 100;", "[]", ";"])
def test_diracx_takes_descriptions_that_run_nothing(text: str) -> None:
    theirs(text)
    with pytest.raises(InvalidJdl, match="Executable is missing"):
        ours(text)


def test_diracx_makes_texts_of_lists_and_lists_of_texts() -> None:
    text = 'Executable = "x"; OutputSandbox = {"std.out"}; JobName = "a, b";'
    peer, columns = theirs(text)
    assert peer.get_expression("OutputSandbox") == '"std.out"' and peer.isAttributeList("JobName")
    assert columns["JobName"].replace(" ", "") == "{a,b}"
    found = ours(text)
    assert found.job_name == "a, b"
    assert parse(found.jdl(1))["OutputSandbox"] == ["std.out"]
