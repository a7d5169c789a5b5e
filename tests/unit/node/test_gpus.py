"""Which GPUs of a node a pilot may give to jobs."""

from pathlib import Path
from typing import Any

import pytest

from diracx_tasks.node import gpus

LISTED = "0, GPU-1a2b, 40960, 10.0\n1, GPU-1c3d, 16384, 8.6\n2, GPU-2e4f, 24576, 8.9\n"


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with three GPUs."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{LISTED}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("listed", "fields"),
    [
        ("", {}),
        ("NVIDIA-SMI has failed\n", {}),
        ("0, GPU-a, 81559, 9.0\n", {"gpus": 1, "gpu_ram_mb": 81_559, "compute_capability": "9.0"}),
        (LISTED, {"gpus": 3, "gpu_ram_mb": 16_384, "compute_capability": "8.6"}),
    ],
)
def test_gpus_are_counted_and_of_several_the_least_is_said(listed: str, fields: dict[str, Any]) -> None:
    assert gpus.fields(gpus.listed(listed)) == ({**fields, "gpu_vendor": "nvidia"} if fields else {})


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, "012"),
        ("", ""),
        ("1", "1"),
        ("2, 0", "20"),
        ("GPU-2,GPU-1c", "21"),
        ("0,-1,2", "0"),
        ("GPU-1", ""),
        ("NoDevFiles", ""),
    ],
)
@pytest.mark.usefixtures("nvidia_smi")
def test_only_gpus_that_the_batch_system_has_given_are_used(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, indices: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert "".join(one.number for one in gpus.cards()) == indices


def test_a_machine_without_the_tool_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.cards() == []
