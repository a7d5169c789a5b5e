"""GA4GH WES 1.1: errors and credentials, below the prefix and elsewhere."""

import base64

from sqlalchemy.orm import Session

from tests.api.wes import Wes, a_run, wes
from tests.builders import a_pilot, a_user, bearer

__all__ = ["wes"]


def test_errors_are_the_standards_below_the_prefix_and_ours_elsewhere(wes: Wes, db: Session) -> None:
    run = a_run(db, by=a_user(vo="belle"))
    for by, method, path, status, words in (
        (None, "GET", "/runs", 401, "Authorization header is missing"),
        (a_pilot(), "GET", "/runs", 403, "Forbidden: this needs a normal user or administrator of the VO"),
        (a_user(), "GET", f"/runs/{run}", 404, f"there is no workflow {run} in lhcb"),
        (a_user(), "GET", "/runs/x", 422, "path.run_id: Input should be a valid integer"),
        (a_user(), "GET", "/nothing", 404, "Not Found"),
        (a_user(), "DELETE", "/runs", 405, "Method Not Allowed"),
    ):
        answer = wes.ask(method, path, by=by)
        assert (answer.status_code, words in answer.json()["msg"]) == (status, True), answer.text
        assert answer.headers["Content-Length"] == str(len(answer.content))
    assert wes.ask("GET", "/runs", by=None).headers["WWW-Authenticate"] == "Bearer"
    assert wes.api.get(f"/api/workflows/{run}").json() == {"detail": f"there is no workflow {run} in lhcb"}


def test_a_body_that_is_too_large_is_refused_in_the_standards_words(wes: Wes) -> None:
    answer = wes.submit({"workflow.cwl": "#" * (33 << 20)})
    assert answer.status_code == 413


def test_a_token_may_come_as_a_password_here_and_only_here(wes: Wes) -> None:
    token = bearer(a_user())["Authorization"].partition(" ")[2]
    for words in (f"token:{token}", f"{token}:", f":{token}"):
        basic = {"Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}
        assert wes.ask("GET", "/runs", by=None, headers=basic).status_code == 200
        assert wes.api.get("/api/workflows", by=None, headers=basic).status_code == 400
    for wrong, status in (("Basic x", 400), ("Basic eDp5", 401), ("Basic ", 400)):
        assert wes.ask("GET", "/runs", by=None, headers={"Authorization": wrong}).status_code == status
