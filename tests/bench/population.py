"""A hundred thousand jobs, or as many as asked for, put into JobDB and JobLoggingDB by the database itself.

Only columns that DIRAC's schemas have are stated, so that both servers' databases can be filled: a column
beyond them has its default.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

OWNER = "alice"
GROUP = "lhcb_user"
VO = "lhcb"
DAYS = 60
# DIRAC's order of events is in seconds from here.
EPOCH = 1_270_000_000

# Three of ten are Running: heartbeats and statuses go round them.
STATUSES = ("Done", "Running", "Failed", "Running", "Done", "Waiting", "Done", "Running", "Killed", "Done")
MINORS = {
    "Done": "Execution Complete",
    "Running": "Application",
    "Failed": "Application Finished With Errors",
    "Waiting": "Pilot Agent Submission",
    "Killed": "Marked for termination",
}
SITES = tuple(
    f"LCG.{name}"
    for name in (
        *("CERN.ch", "CNAF.it", "RAL.uk", "IN2P3.fr", "PIC.es", "GRIDKA.de", "SARA.nl", "NIKHEF.nl"),
        *("RRCKI.ru", "CSCS.ch", "Manchester.uk", "Glasgow.uk", "Liverpool.uk", "LAPP.fr", "CPPM.fr"),
        *("DESY.de", "NCBJ.pl", "UKI-LT2-IC-HEP.uk", "CBPF.br", "Beijing.cn"),
    )
)
EVENTS = (
    ("Received", "Job accepted", "JobManager", 0),
    ("Waiting", "Pilot Agent Submission", "JobAgent", 20),
    ("Matched", "Assigned", "Matcher", 600),
    ("Running", "Application", "JobWrapper", 660),
)
JDL = """[ Executable = "/bin/sh"; Arguments = "run.sh --first-event %d"; JobName = "simulation_%d";
JobGroup = "production"; StdOutput = "std.out"; StdError = "std.err"; CPUTime = 86400; Priority = 1;
OutputSandbox = { "std.out", "std.err", "summary.xml" }; Owner = "alice"; OwnerGroup = "lhcb_user";
VirtualOrganization = "lhcb"; JobRequirements = [ CPUTime = 86400; UserPriority = 1; ]; ]"""
STARTED = " AND StartExecTime IS NOT NULL"
ENDED = " AND EndExecTime IS NOT NULL"
ROWS = 100_000


def populate(engine: Engine, jobs: int, *, prefix: str = "") -> None:
    """Fill empty tables of the databases `<prefix>JobDB` and `<prefix>JobLoggingDB` with so many jobs.

    The newest jobs have the highest numbers. One job of five is `OWNER`'s; all are of one VO.
    """
    jdls, rows, events = (
        f"`{prefix}{name}`" for name in ("JobDB`.`JobJDLs", "JobDB`.`Jobs", "JobLoggingDB`.`LoggingInfo")
    )
    for first in range(1, jobs + 1, ROWS):
        last = min(first + ROWS - 1, jobs)
        with engine.begin() as db:
            db.execute(text(_jdls(jdls, f"seq_{first}_to_{last}")))
            db.execute(text(_jobs(rows, f"seq_{first}_to_{last}", jobs)))
            those = f"FROM {rows} WHERE JobID BETWEEN {first} AND {last}"
            for number in range(len(EVENTS)):
                db.execute(text(_event(events, number) + those + ("" if number < 2 else STARTED)))
            db.execute(text(_last_event(events) + those + ENDED))
    with engine.connect() as db:
        db.execute(text(f"ANALYZE TABLE {jdls}, {rows}, {events}"))


def _jdls(table: str, numbers: str) -> str:
    words = "REPLACE('" + JDL.replace("\n", " ") + "', '%d', seq)"
    return (
        f"INSERT INTO {table} (JobID, JDL, JobRequirements, OriginalJDL) "
        f"SELECT seq, {words}, '', {words} FROM {numbers}"
    )


def _jobs(table: str, numbers: str, jobs: int) -> str:
    begin = datetime.now(UTC) - timedelta(days=DAYS)
    status = _pick("seq DIV 3", STATUSES)
    minor = " ".join(f"WHEN '{name}' THEN '{words}'" for name, words in MINORS.items())
    step = DAYS * 86400 / (jobs + 1)
    return (
        f"INSERT INTO {table} (JobID, JobType, JobGroup, Site, JobName, Owner, OwnerGroup, VO,"
        " SubmissionTime, LastUpdateTime, StartExecTime, HeartBeatTime, EndExecTime, Status,"
        " MinorStatus, ApplicationStatus, UserPriority, RescheduleCounter, VerifiedFlag, AccountedFlag) "
        f"SELECT seq, 'User', LPAD(seq DIV 1000, 8, '0'), IF(state = 'Waiting', 'ANY', site),"
        f" CONCAT('simulation_', seq), owner, '{GROUP}', '{VO}', born, born + INTERVAL 3600 SECOND,"
        " IF(state = 'Waiting', NULL, born + INTERVAL 660 SECOND),"
        " IF(state = 'Waiting', NULL, born + INTERVAL 3000 SECOND),"
        " IF(state IN ('Waiting', 'Running'), NULL, born + INTERVAL 3600 SECOND), state,"
        f" CASE state {minor} END, CONCAT('Events processed: ', seq % 500), 1, 0, 'True', 'False' "
        f"FROM (SELECT seq, {status} AS state, {_pick('seq * 7 DIV 11', SITES)} AS site,"
        f" IF(seq % 5 = 0, '{OWNER}', CONCAT('user', seq % 49)) AS owner,"
        f" TIMESTAMP'{begin:%Y-%m-%d %H:%M:%S}' + INTERVAL FLOOR(seq * {step:.6f}) SECOND AS born"
        f" FROM {numbers}) AS made"
    )


def _event(table: str, number: int) -> str:
    status, minor, source, after = EVENTS[number]
    moment = f"SubmissionTime + INTERVAL {after} SECOND"
    words = f"'{status}', '{minor}', 'Unknown', {moment}, {_order(moment)}, '{source}' "
    return _events(table) + f"SELECT JobID, {number + 1}, {words}"


def _last_event(table: str) -> str:
    words = f"Status, MinorStatus, ApplicationStatus, EndExecTime, {_order('EndExecTime')}, 'JobWrapper' "
    return _events(table) + f"SELECT JobID, {len(EVENTS) + 1}, {words}"


def _events(table: str) -> str:
    columns = (
        "JobID, SeqNum, Status, MinorStatus, ApplicationStatus, StatusTime, StatusTimeOrder, StatusSource"
    )
    return f"INSERT INTO {table} ({columns}) "


def _order(moment: str) -> str:
    """What DIRAC orders events by; the times are UTC whatever the server's zone is."""
    return f"TIMESTAMPDIFF(SECOND, TIMESTAMP'1970-01-01 00:00:00', {moment}) - {EPOCH}"


def _pick(number: str, words: tuple[str, ...]) -> str:
    quoted = ", ".join(f"'{word}'" for word in words)
    return f"ELT(1 + ({number}) % {len(words)}, {quoted})"
