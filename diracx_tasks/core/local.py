"""The configuration of an embedded installation: one VO, its user, who also administrates it."""

import json


def local_configuration(vo: str, username: str) -> str:
    """The text of a configuration in which a user of this machine can log in, submit and administrate.

    Without an IdP the login page of the embedded installation says who somebody is.
    """
    group, subject = json.dumps(vo), json.dumps(username)
    return f"""\
# The configuration of this installation. A change is in force within seconds; a wrong one is refused.
# `diracx admin config check` says what is wrong, `diracx admin config add-user` and others add to it.
Registry:
  {group}:
    DefaultGroup: user
    Users:
      # The key is the subject at the identity provider; here, the name on this machine.
      {subject}: {{PreferedUsername: {subject}}}
    Groups:
      user: {{Properties: [NormalUser], Users: [{subject}]}}
      # Who is in it sees and changes everybody's jobs and all tasks: `diracx login {vo} --group admin`.
      admin: {{Properties: [NormalUser, JobAdministrator, ServiceAdministrator], Users: [{subject}]}}
Operations:
  # What stands here holds for every VO; what stands under a VO's name goes over it.
  Defaults: {{}}
"""
