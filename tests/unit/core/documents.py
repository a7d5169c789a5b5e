"""Configurations as communities write them, and what DiracX 0.7 makes of them."""

from typing import Any

import yaml
from diracx.core.config.schema import Config as Theirs

SMALL = """\
DIRAC: {}
Registry:
  lhcb:
    IdP: {URL: https://idp.example.org/lhcb, ClientID: d396912e-2f04-439b-8ae7-d8c585a34790}
    DefaultGroup: user
    Users:
      b824d4dc-1f9d-4ee8-8df5-c0ae55d46041:
        PreferedUsername: alice
    Groups:
      user:
        Properties: [NormalUser]
        Users: [b824d4dc-1f9d-4ee8-8df5-c0ae55d46041]
"""
WHOLE = """\
DIRAC:
  NoSetup: true
Registry:
  lhcb:
    IdP:
      URL: https://lhcb-auth.example.org/
      ClientID: 5c0541bf-85c8-4d7f-b1df-beaeea19ff5b
    Support: {Email: grid@example.org, Webpage: https://help.example.org, Message: Ask us}
    DefaultGroup: lhcb_user
    DefaultStorageQuota: 2.5
    DefaultProxyLifeTime: 86400
    VOMSName: lhcb
    Users: &people
      b824d4dc-1f9d-4ee8-8df5-c0ae55d46041:
        PreferedUsername: alice
        DNs: [/DC=org/CN=alice, "/DC=org/CN=alice smith"]
        Email: alice@example.org
        Suspended: [belle]
        Quota: 100
      c935e5ed-2g0e-5ff9-9eg6-d1bf66e57152:
        PreferedUsername: bob
    Groups:
      lhcb_user:
        Properties: [PrivateLimitedDelegation, NormalUser]
        Users: [c935e5ed-2g0e-5ff9-9eg6-d1bf66e57152, b824d4dc-1f9d-4ee8-8df5-c0ae55d46041]
        JobShare: 200
        AllowBackgroundTQs: yes
      lhcb_pilot:
        Properties: [LimitedDelegation, GenericPilot]
        Users: []
        VOMSRole: /lhcb/Role=pilot
        Quota: 5
        AutoAddVOMS: true
        AutoUploadPilotProxy: true
        AutoUploadProxy: true
        AutoSyncVOMS: true
  belle:
    IdP: {URL: "http://127.0.0.1:9000", ClientID: belle}
    DefaultGroup: user
    Users: *people
    Groups: {user: {Properties: [NormalUser], Users: []}}
Operations:
  Defaults:
    SoftwareDistModule: Nothing
    Services:
      Catalogs: {CatalogList: [DIRACFileCatalog], Rucio: {Status: Active, Retries: 3}}
      JobMonitoring: {GlobalJobsInfo: false}
    JobDescription: {MaxPriority: 7, AllowedJobTypes: [User, MCSimulation]}
    Pilot: {Version: 9.1, Modules: {a: on, b: 010, c: 1e5, d: 12:30:45, e: 2026-11-23, f: ~, 7: seven}}
    Matching:
      DelayEnabled: true
  lhcb:
    EnableSecurityLogging: true
    Services:
      JobScheduling: {MaxRescheduling: 5, EnableSharesCorrection: true}
      Catalogs: {Rucio: {Retries: 9}, CatalogList: [Rucio]}
    InputDataPolicy:
      Default: A
      Download: B
      Protocol: C
      AllReplicas: false
      Protocols: {Remote: [root, https], Local: [file]}
      InputDataModule: D
      NotAnOption: 5
    Pilot: {Modules: {b: ~, g: {h: [1, 2.5, text]}}}
    Matching:
    Shares: {}
  gone:
    SoftwareDistModule: Own
Resources:
  Computing:
    OSCompatibility:
      x86_64-el9: [x86_64-slc6, x86_64-centos7]
      x86_64-slc6: []
    CEDefaults: {x: 1}
  Sites: {LCG: {LCG.CERN.ch: {CE: 1}}}
LocalSite: {Site: LCG.CERN.ch}
LogLevel: verbose
MCTestingDestination: 5
Systems: {Framework: {Services: []}}
WebApp: [1, 2]
"""
# What DIRAC's own conversion of its CFG files leaves behind.
CONVERTED = """\
DIRAC: {NoSetup: "False"}
Registry:
  lhcb:
    IdP: {URL: https://idp.example.org, ClientID: x}
    DefaultGroup: user
    VOMSName: None
    Support: {Email: None}
    Users:
      a-b: {PreferedUsername: alice, DNs: "/CN=a, /CN=b", Quota: None, Suspended: ""}
    Groups:
      user: {Properties: "NormalUser, JobAdministrator", Users: "a-b,", JobShare: "20", VOMSRole: None}
Operations:
  lhcb:
    JobDescription: {AllowedJobTypes: "User, Test"}
    Services: {Catalogs: None}
Resources: {Computing: {OSCompatibility: {el9: "el8, el7"}}}
"""


def theirs(text: str) -> Any:
    """What DiracX 0.7 answers at /api/config/."""
    found = Theirs.model_validate(yaml.safe_load(text)).model_dump(mode="json", by_alias=True)
    # The one set that DiracX forgets to sort.
    compatible = found["Resources"]["Computing"]["OSCompatibility"]
    compatible.update({platform: sorted(others) for platform, others in compatible.items()})
    return found
