"""Computing elements by their section of the configuration, those of packages too."""

from pathlib import Path

import pytest

from diracx_tasks.core.errors import SettingsError, Unavailable
from diracx_tasks.pilots.elements import PilotScript, element, kinds

CLOUD = """
class Cloud:
    def __init__(self, name, options):
        self.name, self.image = name, options["Image"]

    def submit(self, queue, pilots):
        return {one.stamp: f"cloud://{self.name}/{queue}/{self.image}/{one.stamp}" for one in pilots}
"""


def test_a_package_adds_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "cloud-1.0.dist-info"
    about.mkdir()
    (tmp_path / "cloudy.py").write_text(CLOUD)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: cloud\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[diracx.computing_elements]\nCloud = cloudy:Cloud\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert kinds() == ["Cloud", "htcondor", "local", "slurm", "ssh"]
    taken = element("vcycle", {"CEType": "Cloud", "Image": "el9"}).submit("large", [PilotScript("ab", "")])
    assert taken == {"ab": "cloud://vcycle/large/el9/ab"}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, r"there is no CEType \(none\) for box; there are htcondor, local, slurm, ssh"),
        ({"CEType": "cloud"}, "there is no CEType cloud for box; there are htcondor, local, slurm, ssh"),
        ({"CEType": "ssh"}, "the computing element box, option SSHHost: Field required"),
        ({"CEType": "SSH", "SSHHost": "-oProxyCommand=reboot"}, "box, option SSHHost: String should match"),
        ({"CEType": "SSH", "SSHHost": "a", "BatchSystem": "LSF"}, "box, option BatchSystem: Input should be"),
        ({"CEType": "Slurm", "MaxRAM": "much"}, "the computing element box, option MaxRAM: Input should be"),
        ({"CEType": "HTCondor", "Timeout": 0}, "the computing element box, option Timeout: Input should be"),
    ],
)
def test_what_is_wrong_with_a_section_is_said(section: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        element("box", section)


def test_a_queue_that_the_element_does_not_have_is_said(tmp_path: Path) -> None:
    stated = {"CEType": "LOCAL", "SharedArea": str(tmp_path), "Queues": {"short": {}, "long": None}}
    with pytest.raises(SettingsError, match="the computing element box has no queue lang: short, long"):
        element("box", stated).submit("lang", [PilotScript("ab", "")])
    assert list(tmp_path.iterdir()) == []


def test_a_submission_that_is_cut_off_says_of_no_pilot_that_it_was_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "sbatch"
    # The third job is there, and its number never comes back.
    sbatch.write_text("#!/bin/sh\necho >> jobs\n[ $(wc -l < jobs) -lt 3 ] || exec sleep 60\nwc -l < jobs\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    stated = {"CEType": "slurm", "SharedArea": str(tmp_path), "Timeout": 2}
    with pytest.raises(Unavailable, match="box does not answer: no answer within 2 s"):
        element("box", stated).submit("", [PilotScript(f"pilot-{number}", "") for number in range(5)])
    assert (tmp_path / "box" / "jobs").read_text() == "\n" * 3
