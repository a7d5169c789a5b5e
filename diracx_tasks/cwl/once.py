"""Questions about CWL on a user's own machine, `python -m diracx_tasks.cwl.once`: one a line, see `desk`.

It is not confined, but fetches no addresses; its parent ends it when an answer is late.
"""

import logging
import os
import sys

from schema_salad import ref_resolver

from diracx_tasks.cwl.confine import NoFetcher
from diracx_tasks.cwl.desk import Desk


def main() -> None:
    """Answer until there are no more questions."""
    logging.disable(logging.CRITICAL)
    setattr(ref_resolver, "DefaultFetcher", NoFetcher)  # noqa: B010 - mypy: the module does not export it
    # Whatever cwltool prints must not be taken for an answer.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        Desk().serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
