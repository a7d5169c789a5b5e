"""The tables that an installation of DIRAC 9 has: unsigned numbers, keys of its own, a trigger."""

from tests.architecture.test_migrations import DIRACS_JDLS, DIRACS_JOBS

NUMBER = "INT(11) UNSIGNED NOT NULL"
OF_JOB = "FOREIGN KEY (JobID) REFERENCES Jobs(JobID)"


def _table(database: str, name: str, *parts: str) -> str:
    return f"CREATE TABLE {{{database}}}.{name} ({', '.join(parts)}) ENGINE=InnoDB"


_JOB_TABLES = (
    DIRACS_JDLS.replace("{jobs}", "{JobDB}"),
    DIRACS_JOBS.replace("{jobs}", "{JobDB}"),
    _table(
        "JobDB",
        "InputData",
        f"JobID {NUMBER}",
        "LFN VARCHAR(255) NOT NULL DEFAULT ''",
        "Status VARCHAR(32) NOT NULL DEFAULT 'AprioriGood'",
        "PRIMARY KEY (JobID, LFN)",
        OF_JOB,
    ),
    _table(
        "JobDB",
        "OptimizerParameters",
        f"JobID {NUMBER}",
        "Name VARCHAR(100) NOT NULL",
        "Value MEDIUMTEXT NOT NULL",
        "PRIMARY KEY (JobID, Name)",
        OF_JOB,
    ),
    _table(
        "JobDB",
        "AtticJobParameters",
        f"JobID {NUMBER}",
        "Name VARCHAR(100) NOT NULL",
        "Value TEXT NOT NULL",
        f"RescheduleCycle {NUMBER}",
        "PRIMARY KEY (JobID, Name, RescheduleCycle)",
        OF_JOB,
    ),
    _table(
        "JobDB",
        "HeartBeatLoggingInfo",
        f"JobID {NUMBER}",
        "Name VARCHAR(100) NOT NULL",
        "Value TEXT NOT NULL",
        "HeartBeatTime DATETIME NOT NULL",
        "PRIMARY KEY (JobID, Name, HeartBeatTime)",
        OF_JOB,
    ),
    _table(
        "JobDB",
        "JobCommands",
        f"JobID {NUMBER}",
        "Command VARCHAR(100) NOT NULL",
        "Arguments VARCHAR(100) NOT NULL",
        "Status VARCHAR(64) NOT NULL DEFAULT 'Received'",
        "ReceptionTime DATETIME NOT NULL",
        "ExecutionTime DATETIME DEFAULT NULL",
        "PRIMARY KEY (JobID, Arguments, ReceptionTime)",
        OF_JOB,
    ),
)
_LOGGING = (
    _table(
        "JobLoggingDB",
        "LoggingInfo",
        "JobID INTEGER NOT NULL",
        "SeqNum INTEGER NOT NULL DEFAULT 0",
        "Status VARCHAR(32) NOT NULL DEFAULT ''",
        "MinorStatus VARCHAR(128) NOT NULL DEFAULT ''",
        "ApplicationStatus VARCHAR(255) NOT NULL DEFAULT ''",
        "StatusTime DATETIME NOT NULL",
        "StatusTimeOrder DOUBLE(12,3) NOT NULL",
        "StatusSource VARCHAR(32) NOT NULL DEFAULT 'Unknown'",
        "PRIMARY KEY (JobID, SeqNum)",
    ),
    "CREATE TRIGGER {JobLoggingDB}.SeqNumGenerator BEFORE INSERT ON {JobLoggingDB}.LoggingInfo FOR EACH ROW"
    " SET NEW.SeqNum = (SELECT IFNULL(MAX(SeqNum) + 1, 1) FROM {JobLoggingDB}.LoggingInfo"
    " WHERE JobID = NEW.JobID)",
)
_PILOTS = (
    _table(
        "PilotAgentsDB",
        "PilotAgents",
        f"PilotID {NUMBER} AUTO_INCREMENT",
        f"InitialJobID {NUMBER} DEFAULT 0",
        f"CurrentJobID {NUMBER} DEFAULT 0",
        "PilotJobReference VARCHAR(255) NOT NULL DEFAULT 'Unknown'",
        "PilotStamp VARCHAR(32) NOT NULL DEFAULT ''",
        "DestinationSite VARCHAR(128) NOT NULL DEFAULT 'NotAssigned'",
        "Queue VARCHAR(128) NOT NULL DEFAULT 'Unknown'",
        "GridSite VARCHAR(128) NOT NULL DEFAULT 'Unknown'",
        "VO VARCHAR(128) NOT NULL",
        "GridType VARCHAR(32) NOT NULL DEFAULT 'LCG'",
        "BenchMark DOUBLE NOT NULL DEFAULT 0.0",
        "SubmissionTime DATETIME DEFAULT NULL",
        "LastUpdateTime DATETIME DEFAULT NULL",
        "Status VARCHAR(32) NOT NULL DEFAULT 'Unknown'",
        "StatusReason VARCHAR(255) NOT NULL DEFAULT 'Unknown'",
        "AccountingSent ENUM('True','False') NOT NULL DEFAULT 'False'",
        "PRIMARY KEY (PilotID)",
        "KEY PilotJobReference (PilotJobReference)",
        "KEY Status (Status)",
        "KEY Statuskey (GridSite, DestinationSite, Status)",
        "KEY idx_dest_queue_status (DestinationSite, Queue, Status)",
    ),
    _table(
        "PilotAgentsDB",
        "JobToPilotMapping",
        f"PilotID {NUMBER}",
        f"JobID {NUMBER}",
        "StartTime DATETIME NOT NULL",
        "KEY JobID (JobID)",
        "KEY PilotID (PilotID)",
    ),
    _table(
        "PilotAgentsDB",
        "PilotOutput",
        f"PilotID {NUMBER}",
        "StdOutput MEDIUMTEXT",
        "StdError MEDIUMTEXT",
        "PRIMARY KEY (PilotID)",
    ),
)
_SANDBOXES = (
    _table(
        "SandboxMetadataDB",
        "sb_Owners",
        f"OwnerID {NUMBER} AUTO_INCREMENT",
        "Owner VARCHAR(32) NOT NULL",
        "OwnerGroup VARCHAR(32) NOT NULL",
        "VO VARCHAR(64) NOT NULL",
        "PRIMARY KEY (OwnerID)",
        "UNIQUE KEY unique_owner_group_vo (Owner, OwnerGroup, VO)",
    ),
    _table(
        "SandboxMetadataDB",
        "sb_SandBoxes",
        f"SBId {NUMBER} AUTO_INCREMENT",
        f"OwnerId {NUMBER}",
        "SEName VARCHAR(64) NOT NULL",
        "SEPFN VARCHAR(512) NOT NULL",
        "Bytes BIGINT(20) NOT NULL DEFAULT 0",
        "RegistrationTime DATETIME NOT NULL",
        "LastAccessTime DATETIME NOT NULL",
        "Assigned TINYINT NOT NULL DEFAULT 0",
        "PRIMARY KEY (SBId)",
        "KEY SBOwner (OwnerId)",
        "UNIQUE KEY Location (SEName, SEPFN)",
    ),
    _table(
        "SandboxMetadataDB",
        "sb_EntityMapping",
        f"SBId {NUMBER}",
        "EntityId VARCHAR(128) NOT NULL",
        "Type VARCHAR(64) NOT NULL",
        "KEY Entity (EntityId)",
        "KEY SBIndex (SBId)",
        "UNIQUE KEY Mapping (SBId, EntityId, Type)",
    ),
)


def _statuses() -> list[str]:
    named = (
        "Name VARCHAR(64) NOT NULL",
        "StatusType VARCHAR(128) NOT NULL DEFAULT 'all'",
        "VO VARCHAR(64) NOT NULL DEFAULT 'all'",
        "Status VARCHAR(8) NOT NULL DEFAULT ''",
        "Reason VARCHAR(512) NOT NULL DEFAULT 'Unspecified'",
        "DateEffective DATETIME NOT NULL",
        "TokenExpiration DATETIME NOT NULL DEFAULT '9999-12-31 23:59:59'",
        "ElementType VARCHAR(32) NOT NULL DEFAULT ''",
        "LastCheckTime DATETIME NOT NULL DEFAULT '1000-01-01 00:00:00'",
        "TokenOwner VARCHAR(16) NOT NULL DEFAULT 'rs_svc'",
    )
    number = "ID BIGINT NOT NULL AUTO_INCREMENT"
    found: list[str] = []
    for subject in ("Site", "Resource", "Node"):
        key = "PRIMARY KEY (Name, StatusType, VO)"
        found.append(_table("ResourceStatusDB", f"{subject}Status", *named, key))
        for kind in ("Log", "History"):
            found.append(_table("ResourceStatusDB", subject + kind, number, *named, "PRIMARY KEY (ID)"))
    return found


DATABASES = ("JobDB", "JobLoggingDB", "PilotAgentsDB", "SandboxMetadataDB", "ResourceStatusDB")
TABLES = (*_JOB_TABLES, *_LOGGING, *_PILOTS, *_SANDBOXES, *_statuses())
