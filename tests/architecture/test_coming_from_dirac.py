"""The page for those who come from DIRAC names every agent, and only tasks that there are."""

import re

import pytest

from diracx_tasks.core.plugins import load_tasks
from diracx_tasks.core.settings import Settings
from diracx_tasks.engine.declared import REGISTRY
from tests.architecture.source import ROOT

PAGE = (ROOT / "docs" / "coming-from-dirac.md").read_text()
# DIRAC 9.1: every agent and executor.
NAMES = [
    "StalledJobAgent",
    "JobCleaningAgent",
    "TaskQueuesAgent",
    "StatesAccountingAgent",
    "PilotStatusAgent",
    "PilotSyncAgent",
    "PilotLoggingAgent",
    "SiteDirector",
    "JobAgent",
    "PushJobAgent",
    "JobPath",
    "JobSanity",
    "InputData",
    "JobScheduling",
    "RequestExecutingAgent",
    "CleanReqDBAgent",
    "InputDataAgent",
    "TransformationAgent",
    "MCExtensionAgent",
    "WorkflowTaskAgent",
    "RequestTaskAgent",
    "ValidateOutputDataAgent",
    "TransformationCleaningAgent",
    "DataRecoveryAgent",
    "FTS3Agent",
    "CacheFeederAgent",
    "ElementInspectorAgent",
    "SiteInspectorAgent",
    "EmailAgent",
    "TokenAgent",
    "SummarizeLogsAgent",
    "RucioRSSAgent",
    "Bdii2CSAgent",
    "VOMS2CSAgent",
    "GOCDB2CSAgent",
    "RucioSynchronizerAgent",
    "NetworkAgent",
    "ProxyRenewalAgent",
    "ComponentSupervisionAgent",
    "RequestPreparationAgent",
    "StageRequestAgent",
    "StageMonitorAgent",
    "RequestFinalizationAgent",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_agent_and_executor_of_dirac_has_its_row(name: str) -> None:
    begins = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| ")]
    assert any(re.search(rf"\b{name}\b", cell) for cell in begins)


def test_only_tasks_and_settings_that_there_are_are_named() -> None:
    load_tasks()
    subjects = {name.partition(".")[0] for name in REGISTRY} | {"accounting"}
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)`", PAGE))
    assert {name for name in named if name.partition(".")[0] in subjects} <= REGISTRY.keys()
    settings = {f"DIRACX_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"`(DIRACX_[A-Z0-9_]+)`", PAGE)) <= settings
