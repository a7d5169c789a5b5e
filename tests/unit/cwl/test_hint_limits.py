"""How much a job may ask for in DIRAC's hint, and of which characters names are."""

import pytest

from tests.unit.cwl.documents import HEAD, a_bundle, place, refusal
from tests.unit.cwl.test_requirements import DIRAC, asked, hinted

MANY = ", ".join(f"x{number}" for number in range(201))


@pytest.mark.parametrize(
    "field, message",
    [
        (
            "priority: 1000000000000000",
            "priority: '1000000000000000' is no whole number between -1000000000000",
        ),
        ("cores: 1000001", "cores: '1000001' is no whole number between 1 and 1000000"),
        (
            "ram_per_core_mb: 400000000000, cores: 3",
            "1200000000000 MB for 3 cores, 1000000000000 are the most",
        ),
        ("ram_per_core_mb: 400000000000, tags: 3Processors", "ram_per_core_mb: 1200000000000 MB for 3 cores"),
        ("wall_time: 2000000000000", "wall_time: '2000000000000' is no whole number between 0 and"),
        (r'sites: ["A\ud800"]', r"sites: 'A\ud800' has the character '\ud800', which no name has"),
        (r'grid_ces: "ce\x01"', r"grid_ces: 'ce\x01' has the character '\x01', which no name has"),
        (r'platform: "\uDFFF"', r"platform: '\udfff' has the character '\udfff', which no name has"),
        (r'tags: "a\ud800"', r"tags: column 2: '\ud800' cannot stand in a tag"),
        (f"sites: [{MANY}]", "sites: 100 names are the most, not 201"),
        (f"banned_sites: [{MANY}]", "banned_sites: 100 names are the most, not 201"),
        (f"grid_ces: '{MANY}'", "grid_ces: 100 names are the most, not 201"),
        (f"platforms: [{MANY}]", "platforms: 200 names are the most, not 201"),
        (f"tags: [{', '.join(f'a|b{n}' for n in range(65))}]", "tags: 64 expressions are the most, not 65"),
    ],
)
def test_too_much_is_refused_where_it_stands(field: str, message: str) -> None:
    error = refusal(a_bundle(hinted(f"dirac:Job: {{{field}}}")), text="x")
    assert message in str(error)
    assert place(error) == ("main.cwl", 10, 21)


@pytest.mark.parametrize(
    "fields, message, column",
    [
        ("gpu: {count: {max: 1000001}}", "gpu.count.max: '1000001' is no whole number between 0", 35),
        (
            r'gpu: {vendor: "\ud800"}',
            r"gpu.vendor: '\ud800' has the character '\ud800', which no name has",
            27,
        ),
        ("cores: 3, alternatives: [{ram_per_core_mb: 400000000000}]", "1200000000000 MB for 3 cores", 47),
    ],
)
def test_too_much_inside_a_field_is_refused_where_it_stands(fields: str, message: str, column: int) -> None:
    error = refusal(a_bundle(hinted(f"dirac:Job: {{{fields}}}")), text="x")
    assert message in str(error)
    assert place(error) == ("main.cwl", 10, column)


def test_memory_for_each_of_more_cores_than_any_machine_has_is_refused() -> None:
    more = (
        "requirements: {InlineJavascriptRequirement: {}, ResourceRequirement: {coresMin: $(inputs.n * 1e6)}}"
    )
    document = f"{HEAD}inputs: {{n: int}}\noutputs: {{}}\n{more}\n"
    assert (
        asked(document + f"{DIRAC}hints: {{dirac:Job: {{ram_per_core_mb: 999999}}}}\n", n=1)["cores"] == 10**6
    )
    error = refusal(a_bundle(document + f"{DIRAC}hints: {{dirac:Job: {{ram_per_core_mb: 1000000}}}}\n"), n=1)
    assert "ram_per_core_mb: 1000000000256 MB for 1000000 cores, 1000000000000 are the most" in str(error)
